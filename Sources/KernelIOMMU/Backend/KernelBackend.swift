import IOMMU
import IOMMUObjects
import LinuxIO

/// The IOMMUs of this machine, through `/dev/iommu` and the nodes of vfio devices.
package final class KernelBackend: IOMMUBackend {
    /// The node of iommufd.
    package static let node = "/dev/iommu"
    /// `IOMMU_OPTION_RLIMIT_MODE`: what is pinned counts for the process and not for the user.
    private static let rlimitMode: UInt32 = 0

    let calls: any KernelCalls
    let executor: any WorkExecutor
    let inventory: any DeviceInventory
    /// Who has which device.
    let holdings = Holdings()
    /// What changes are given, for whoever writes them down.
    package let ledger = Ledger()
    /// What has to be said after a restart.
    private var notes: [String] = []
    /// What the kernel can do.
    package let kernel: KernelFeatures
    /// Told of devices that come and go, of faults and of events of virtual machines.
    package var eventHandler: ((BackendEvent) -> Void)?
    /// Adds to each new context what this backend does not have itself.
    package var equipment: ((ObjectContext) -> Void)?
    /// No devices: the object model keeps only memory objects and what is beside the kernel.
    private lazy var registry = DeviceRegistry(host: self)

    /// Looks what the kernel can do.
    ///
    /// - Throws: `ENODEV` without iommufd, `EPERM` if it may not be opened.
    package init(
        calls: any KernelCalls = LinuxKernel(), inventory: any DeviceInventory, executor: any WorkExecutor
    ) throws(IOMMUError) {
        (self.calls, self.inventory, self.executor) = (calls, inventory, executor)
        kernel = KernelFeatures(of: try Self.open(calls))
        inventory.onChange = { [unowned self] change in changed(change) }
    }

    /// "kernel"
    package var kind: String { "kernel" }
    /// Devices are real: without a rule nobody but administrators gets any.
    package var isOpenByDefault: Bool { false }
    /// What the running kernel was found to have, and whether changes of the topology are noticed.
    package var features: [String] { kernel.names + (inventory.noticesChanges ? ["topology_events"] : []) }

    /// What the inventory tells, and who of the daemon's sessions has which device.
    package var topology: TopologyState {
        var topology = inventory.topology
        for index in topology.devices.indices {
            topology.devices[index].boundBy = holdings.holder(of: topology.devices[index].name)
        }
        return topology
    }

    /// A session's own open `/dev/iommu`, which is opened when it is first needed.
    package func makeContext(
        id: ContextID, owner: String, account: Account, limits: ContextLimits
    ) -> KernelContext {
        let store = ObjectContext(registry, id: id, owner: owner, account: account, limits: limits)
        equipment?(store)
        return KernelContext(id: id, owner: owner, backend: self, store: store)
    }

    // MARK: The iommufd

    /// An iommufd for a context.
    func openIOMMUFD() throws(IOMMUError) -> KernelHandle {
        let handle = try Self.open(calls)
        // Needs CAP_SYS_RESOURCE. Without it pins count for the daemon's user, which the quotas bound in any case.
        _ = try? handle.option(Self.rlimitMode, set: true, object: 0, value: 1)
        return handle
    }

    private static func open(_ calls: any KernelCalls) throws(IOMMUError) -> KernelHandle {
        do throws(SystemError) {
            return KernelHandle(calls, KernelFile(try calls.open(node)))
        } catch {
            throw refusal(error)
        }
    }

    private static func refusal(_ error: SystemError) -> IOMMUError {
        switch Errno(rawValue: error.errno) {
        case .EACCES, .EPERM:
            IOMMUError(
                .EPERM, .nodeForbidden, "the daemon may not open \(node)",
                hint: "systemd/udev/70-iommud.rules gives the node to the group iommud", ["node": .text(node)])
        case .ENOENT, .ENODEV, .ENXIO:
            IOMMUError(
                .ENODEV, .noIOMMUFD, "this kernel has no \(node)",
                hint: "load the module iommufd (CONFIG_IOMMUFD, \(IOMMUFD.ioasAlloc.since) or newer)",
                ["node": .text(node)])
        case .EMFILE, .ENFILE:
            .noDescriptors
        default:
            IOMMUError(
                .EIO, .kernelRefused, "\(node) cannot be opened: \(Errno.name(of: error.errno))",
                hint: "the kernel's log may say why",
                ["node": .text(node), "kernel_errno": .text(Errno.name(of: error.errno))])
        }
    }

    // MARK: Devices

    static func unknownDevice(_ name: String) -> IOMMUError {
        IOMMUError(
            .ENODEV, .unknownDevice, "there is no device named \(name)", hint: "topology.list names them",
            ["device": .text(name)])
    }

    private func changed(_ change: DeviceEvent) {
        if change.action == .removed { holdings.reference(of: change.name)?.context?.deviceRemoved(change.name) }
        emit(BackendEvent(.device(change), context: holdings.context(of: change.name)))
    }
}

/// What the object model under a context asks for: here no tables map its memory.
extension KernelBackend: ObjectHost {
    /// No table of the daemon's maps the memory, so it lies nowhere: 0.
    package func admit(_ memory: MemoryObject, for account: Account) throws(IOMMUError) -> UInt64 { 0 }
    /// It lay nowhere.
    package func dismiss(_ memory: MemoryObject, at location: UInt64, for account: Account) {}
    /// The kernel lets devices go on by itself.
    package func faultsAnswered() {}
    /// Hands an event to whoever listens.
    package func emit(_ event: BackendEvent) { eventHandler?(event) }
    /// Workers, for what the object model below does in pieces.
    package var longWork: (any WorkExecutor)? { executor }
    /// The same for all contexts of this kernel.
    package var changeLedger: Ledger? { ledger }
}

extension KernelBackend: KeptBackend {
    /// Where files are mapped: what is mapped of the daemon's own memory goes with it.
    package var kept: (any KeptBackend)? { kernel.mapsFiles ? self : nil }
    /// What is in an iommufd goes with its last descriptor.
    package var needsFiles: Bool { true }
    /// Nothing: the kernel gives its tags itself, and keeps them.
    package func restoreMove(smmu: String, from: UInt16, to: UInt16) {}

    /// ``KeptBackend/takeNotes()``
    package func takeNotes() -> [String] {
        defer { notes = [] }
        return notes
    }

    /// What is pinned goes on counting for the daemon that mapped it.
    func pinsCountElsewhere(_ owner: String, _ failure: KernelFailure) {
        let why =
            failure.errno == Errno.ENOTTY.rawValue
            ? "the kernel has no \(failure.call) before \(failure.since)"
            : "\(failure.call): \(Errno.name(of: failure.errno))"
        notes.append("pinned memory of \(owner) counts for the daemon before this one: \(why)")
    }
}
