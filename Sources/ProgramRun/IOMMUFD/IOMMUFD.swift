import Glibc
import JSONRPC
import LinuxIO

/// One open of `/dev/iommu`: a session of the daemon. Its ids are those that the program sees.
final class IOMMUFD: GivenFile {
    /// What the run has besides.
    unowned let supervisor: Supervisor
    /// What the daemon calls it; other connections join it.
    let session: String
    let link: SessionLink
    /// Memory objects of files that were mapped, by the file.
    var files: [GivenFiles.Identity: UInt32] = [:]
    /// The IOAS that calls of vfio's old interface are about; nil: none yet.
    var compatIOAS: UInt32?
    /// By id: fault queues and queues of events whose descriptors are open.
    var queues: [UInt32: EventStream] = [:]
    /// Devices that are bound, by their ids. They hold it: it ends after the last of them.
    private var devices: [UInt32: VFIODevice] = [:]
    private var isClosed = false
    /// Tells of what waits in the queues; nil as long as there are none.
    var events: SessionLink?
    /// Something exists in it.
    var hasObjects = false
    /// `IOMMU_OPTION_RLIMIT_MODE`, which has no effect: nothing is pinned.
    var limitsByProcess: UInt64 = 0

    init(_ supervisor: Supervisor, session: String) throws(Refusal) {
        (self.supervisor, self.session) = (supervisor, session)
        do {
            link = try SessionLink(path: supervisor.socketPath, session: session)
        } catch let error as RPCError {
            throw Refusal(error)
        } catch {
            throw Refusal(ENODEV, note: "the daemon does not answer: \(error)")
        }
    }

    func closed() {
        isClosed = true
        endIfUnused()
    }

    /// A device has been bound.
    func hold(_ device: VFIODevice, _ id: UInt32) {
        devices[id] = device
        hasObjects = true
    }

    /// A device is bound no more.
    func release(_ id: UInt32) {
        devices[id] = nil
        endIfUnused()
    }

    private func endIfUnused() {
        guard isClosed, devices.isEmpty else { return }
        for queue in queues.values { queue.end() }
        queues = [:]
        if let events { supervisor.unwatch(events.descriptor) }
        events = nil
        supervisor.noteIfRefused { () throws(Refusal) in _ = try link.call("session.close") }
        supervisor.forget(self)
    }

    // MARK: Calls

    /// What carries out a command, and how large its structure is.
    struct Command {
        let name: String
        let size: Int
        let minimum: Int
        let perform: (IOMMUFD) -> (inout IOCTLArgument) throws(Refusal) -> Void

        init(
            _ name: String, _ size: Int, minimum: Int? = nil,
            _ perform: @escaping (IOMMUFD) -> (inout IOCTLArgument) throws(Refusal) -> Void
        ) {
            (self.name, self.size, self.minimum, self.perform) = (name, size, minimum ?? size, perform)
        }
    }

    /// By number: all that Linux 7.2 has, and nothing else.
    static func command(_ number: UInt32) -> Command? {
        switch number {
        case 0x80: Command("IOMMU_DESTROY", 8, IOMMUFD.destroy)
        case 0x81: Command("IOMMU_IOAS_ALLOC", 12, IOMMUFD.allocateIOAS)
        case 0x82: Command("IOMMU_IOAS_ALLOW_IOVAS", 24, IOMMUFD.allowIOVAs)
        case 0x83: Command("IOMMU_IOAS_COPY", 40, IOMMUFD.copy)
        case 0x84: Command("IOMMU_IOAS_IOVA_RANGES", 32, IOMMUFD.iovaRanges)
        case 0x85: Command("IOMMU_IOAS_MAP", 40, IOMMUFD.map)
        case 0x86: Command("IOMMU_IOAS_UNMAP", 24, IOMMUFD.unmap)
        case 0x87: Command("IOMMU_OPTION", 24, IOMMUFD.option)
        case 0x88: Command("IOMMU_VFIO_IOAS", 12, IOMMUFD.compatibleIOAS)
        case 0x89: Command("IOMMU_HWPT_ALLOC", 48, minimum: 24, IOMMUFD.allocateHWPT)
        case 0x8a: Command("IOMMU_GET_HW_INFO", 40, minimum: 32, IOMMUFD.hardwareInfo)
        case 0x8b: Command("IOMMU_HWPT_SET_DIRTY_TRACKING", 16, IOMMUFD.setDirtyTracking)
        case 0x8c: Command("IOMMU_HWPT_GET_DIRTY_BITMAP", 48, IOMMUFD.dirtyBitmap)
        case 0x8d: Command("IOMMU_HWPT_INVALIDATE", 32, IOMMUFD.invalidate)
        case 0x8e: Command("IOMMU_FAULT_QUEUE_ALLOC", 16, IOMMUFD.allocateFaultQueue)
        case 0x8f: Command("IOMMU_IOAS_MAP_FILE", 40, IOMMUFD.mapFile)
        case 0x90: Command("IOMMU_VIOMMU_ALLOC", 40, minimum: 24, IOMMUFD.allocateVIOMMU)
        case 0x91: Command("IOMMU_VDEVICE_ALLOC", 24, IOMMUFD.allocateVDevice)
        case 0x92: Command("IOMMU_IOAS_CHANGE_PROCESS", 8, IOMMUFD.changeProcess)
        case 0x93: Command("IOMMU_VEVENTQ_ALLOC", 32, minimum: 28, IOMMUFD.allocateVEventQueue)
        case 0x94: Command("IOMMU_HW_QUEUE_ALLOC", 40, IOMMUFD.allocateHardwareQueue)
        default: nil
        }
    }

    func control(_ call: ControlCall) throws(Refusal) -> Int64 {
        guard let command = Self.command(call.number) else { return try controlAsVFIO(call) }
        // Neither a size nor a direction is encoded in commands of iommufd.
        guard call.command & ~0xffff == 0 else { throw Refusal(ENOTTY) }
        var argument = try IOCTLArgument(
            iommufd: call.memory, call.address, size: command.size, minimum: command.minimum)
        try command.perform(self)(&argument)
        return 0
    }

    /// `IOMMU_HW_QUEUE_ALLOC`: only Tegra's have any.
    private func allocateHardwareQueue(_ argument: inout IOCTLArgument) throws(Refusal) {
        throw .missing("IOMMU_HW_QUEUE_ALLOC", EOPNOTSUPP)
    }

    /// `IOMMU_DESTROY`
    private func destroy(_ argument: inout IOCTLArgument) throws(Refusal) {
        let id = argument[word32: 4]
        guard queues[id] == nil else { throw Refusal(EBUSY) }
        try link.call("object.destroy", [("id", .count(UInt64(id)))])
        if compatIOAS == id { compatIOAS = nil }
    }
}
