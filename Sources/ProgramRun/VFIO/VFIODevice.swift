import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// One open of a vfio cdev, `/dev/vfio/devices/vfioN`: a device of the daemon's with a PCI function in front of it.
final class VFIODevice: GivenFile {
    /// Regions begin at multiples of this.
    static let regionShift: UInt64 = 40
    private static let regions: UInt32 = 9
    /// Of which the program maps what can be mapped.
    static let fileSize = offset(of: regions)

    /// Where a region begins: none at 0, so that its calls can be told from those about other files.
    static func offset(of region: UInt32) -> UInt64 { UInt64(region + 1) << regionShift }

    private unowned let supervisor: Supervisor
    let name: String
    private let memory: Descriptor
    /// Where it is bound, and as what.
    private(set) var binding: (context: IOMMUFD, id: UInt32)?
    private let function: AcceleratorFunction
    private var attached: Set<UInt32?> = []

    init(_ supervisor: Supervisor, name: String, memory: borrowing Descriptor) {
        (self.supervisor, self.name) = (supervisor, name)
        // Its number stays the file's as long as this lives.
        self.memory = Descriptor(adopting: clinux_duplicate(memory.number))
        function = AcceleratorFunction(supervisor, file: self.memory.number)
    }

    func closed() {
        function.reset()
        guard let binding else { return }
        self.binding = nil
        supervisor.noteIfRefused { () throws(Refusal) in
            _ = try binding.context.link.call("device.unbind", [("device", .count(UInt64(binding.id)))])
        }
        binding.context.release(binding.id)
    }

    // MARK: Commands

    private enum Number {
        static let information: UInt32 = 107
        static let region: UInt32 = 108
        static let interrupts: UInt32 = 109
        static let setInterrupts: UInt32 = 110
        static let reset: UInt32 = 111
        static let hotResetInformation: UInt32 = 112
        static let hotReset: UInt32 = 113
        static let feature: UInt32 = 117
        static let bind: UInt32 = 118
        static let attach: UInt32 = 119
        static let detach: UInt32 = 120
    }

    func control(_ call: ControlCall) throws(Refusal) -> Int64 {
        guard call.number != Number.bind else {
            try bind(call)
            return 0
        }
        // As in the kernel: nothing else before.
        guard binding != nil else { throw Refusal(EINVAL) }
        switch call.number {
        case Number.information: try information(call)
        case Number.region: try region(call)
        case Number.interrupts: try interrupts(call)
        case Number.setInterrupts: try setInterrupts(call)
        case Number.reset: function.reset()
        case Number.attach: try attach(call)
        case Number.detach: try detach(call)
        case Number.feature: try feature(call)
        case Number.hotResetInformation: throw .missing("VFIO_DEVICE_GET_PCI_HOT_RESET_INFO")
        case Number.hotReset: throw .missing("VFIO_DEVICE_PCI_HOT_RESET")
        default: throw Refusal(ENOTTY)
        }
        return 0
    }

    /// `VFIO_DEVICE_BIND_IOMMUFD`
    private func bind(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 24, minimum: 16)
        guard argument[word32: 4] & ~1 == 0 else { throw Refusal(EINVAL) }
        guard argument[word32: 4] == 0 else { throw .missing("VFIO_DEVICE_BIND_FLAG_TOKEN", EINVAL) }
        guard binding == nil else { throw Refusal(EINVAL) }
        let number = Int32(bitPattern: argument[word32: 8])
        guard number >= 0 else { throw Refusal(EBADF) }
        let copy = try supervisor.copy(of: number, from: call.memory.call)
        guard let context = supervisor.files[copy.number] as? IOMMUFD else { throw Refusal(EBADFD) }
        let id = try context.link.call("device.bind", [("name", .string(name))]).id("device")
        context.hold(self, id)
        binding = (context, id)
        argument[word32: 12] = id
        // The id lies inside the smallest structure.
        try argument.respond()
    }

    private func bound() throws(Refusal) -> (context: IOMMUFD, id: UInt32) {
        guard let binding else { throw Refusal(EINVAL) }
        return binding
    }

    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT`: moves what is attached already.
    private func attach(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 16, minimum: 12)
        let pasid = try Self.pasid(argument, at: 12)
        let (context, id) = try bound()
        let params: [(String, JSONValue?)] = [
            ("device", .count(UInt64(id))), ("pt", .count(UInt64(argument[word32: 8]))),
            ("pasid", pasid.map { .count(UInt64($0)) }),
        ]
        let isMove = pasid == nil && attached.contains(pasid)
        let answer = try context.link.call(isMove ? "device.replace" : "device.attach", params)
        attached.insert(pasid)
        argument[word32: 8] = try answer.id("hwpt")
        try argument.respond()
    }

    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`
    private func detach(_ call: ControlCall) throws(Refusal) {
        let argument = try IOCTLArgument(vfio: call.memory, call.address, size: 12, minimum: 8)
        let pasid = try Self.pasid(argument, at: 8)
        let (context, id) = try bound()
        try context.link.call(
            "device.detach", [("device", .count(UInt64(id))), ("pasid", pasid.map { .count(UInt64($0)) })])
        attached.remove(pasid)
    }

    private static func pasid(_ argument: IOCTLArgument, at offset: Int) throws(Refusal) -> UInt32? {
        guard argument[word32: 4] & ~1 == 0 else { throw Refusal(EINVAL) }
        guard argument[word32: 4] & 1 != 0 else { return nil }
        guard argument.programSize >= offset + 4 else { throw Refusal(EINVAL) }
        return argument[word32: offset]
    }

    // MARK: What it is

    /// `VFIO_DEVICE_GET_INFO`
    private func information(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 20, minimum: 16)
        // It can be reset, and is a PCI device.
        argument[word32: 4] = 1 | 2
        argument[word32: 8] = Self.regions
        argument[word32: 12] = 5
        argument[word32: 16] = 0
        try argument.respond()
    }

    /// `VFIO_DEVICE_GET_REGION_INFO`
    private func region(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 32, minimum: 32)
        let index = argument[word32: 8]
        guard index < Self.regions else { throw Refusal(EINVAL) }
        let region = function.region(index)
        guard region.size > 0 || index < 7 else { throw Refusal(EINVAL) }
        argument[word32: 4] = region.flags
        argument[word32: 12] = 0
        argument[word64: 16] = region.size
        argument[word64: 24] = Self.offset(of: index)
        try argument.respond()
    }

    /// `VFIO_DEVICE_GET_IRQ_INFO`
    private func interrupts(_ call: ControlCall) throws(Refusal) {
        var argument = try IOCTLArgument(vfio: call.memory, call.address, size: 16, minimum: 16)
        let index = argument[word32: 8]
        guard index < 5 else { throw Refusal(EINVAL) }
        let count = index == AcceleratorFunction.messageIndex ? UInt32(AcceleratorFunction.vectors) : 0
        // By eventfd, and the number cannot be changed without turning all off.
        argument[word32: 4] = count > 0 ? 1 | 8 : 0
        argument[word32: 12] = count
        try argument.respond()
    }

    private enum InterruptFlag {
        static let none: UInt32 = 1
        static let bool: UInt32 = 2
        static let eventfd: UInt32 = 4
        static let mask: UInt32 = 8
        static let unmask: UInt32 = 16
        static let trigger: UInt32 = 32
    }

    /// `VFIO_DEVICE_SET_IRQS`
    private func setInterrupts(_ call: ControlCall) throws(Refusal) {
        let argument = try IOCTLArgument(vfio: call.memory, call.address, size: 20, minimum: 20)
        let (flags, index) = (argument[word32: 4], argument[word32: 8])
        let (start, count) = (argument[word32: 12], argument[word32: 16])
        guard index == AcceleratorFunction.messageIndex, flags & ~63 == 0 else { throw Refusal(EINVAL) }
        let vectors = UInt32(AcceleratorFunction.vectors)
        guard start <= vectors, count <= vectors - start else { throw Refusal(EINVAL) }
        guard flags & InterruptFlag.trigger != 0 else {
            throw .missing("masking of interrupts by VFIO_DEVICE_SET_IRQS", EINVAL)
        }
        guard count > 0 else { return function.forgetVectors() }
        switch flags & 7 {
        case InterruptFlag.eventfd:
            guard argument.programSize >= 20 + 4 * Int(count) else { throw Refusal(EINVAL) }
            let list = ArgumentBytes(try call.memory.read(call.address &+ 20, count: 4 * Int(count)))
            for place in 0..<Int(count) {
                let number = Int32(bitPattern: list[word32: 4 * place])
                let eventfd =
                    number < 0 ? nil : try SharedDescriptor(supervisor.copy(of: number, from: call.memory.call))
                function.set(vector: Int(start) + place, eventfd)
            }
        case InterruptFlag.none:
            for place in 0..<Int(count) { function.raise(vector: Int(start) + place) }
        case InterruptFlag.bool:
            guard argument.programSize >= 20 + Int(count) else { throw Refusal(EINVAL) }
            let list = try call.memory.read(call.address &+ 20, count: Int(count))
            for (place, flag) in list.enumerated() where flag != 0 { function.raise(vector: Int(start) + place) }
        default: throw Refusal(EINVAL)
        }
    }

    /// `VFIO_DEVICE_FEATURE`
    private func feature(_ call: ControlCall) throws(Refusal) {
        let argument = try IOCTLArgument(vfio: call.memory, call.address, size: 8, minimum: 8)
        let names: [UInt32: String] = [
            0: "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN", 1: "VFIO_DEVICE_FEATURE_MIGRATION",
            2: "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE", 6: "VFIO_DEVICE_FEATURE_DMA_LOGGING_START",
            11: "VFIO_DEVICE_FEATURE_DMA_BUF",
        ]
        let index = argument[word32: 4] & 0xffff
        // That a program asks what there is needs no word on the terminal.
        guard argument[word32: 4] & 0x40000 == 0 else { throw Refusal(ENOTTY) }
        throw .missing(names[index] ?? "VFIO_DEVICE_FEATURE \(index)")
    }

    // MARK: Regions

    func read(_ memory: ThreadMemory, offset: UInt64, into address: UInt64, count: UInt64) throws(Refusal) -> Int64 {
        _ = try bound()
        let (index, place, length) = try place(offset, count)
        try memory.write(address, function.read(region: index, place, length))
        return Int64(length)
    }

    func write(_ memory: ThreadMemory, offset: UInt64, from address: UInt64, count: UInt64) throws(Refusal) -> Int64 {
        let (context, id) = try bound()
        let (index, place, length) = try place(offset, count)
        let bytes = try memory.read(address, count: length)
        try function.write(region: index, place, bytes, DeviceName(context: context, id: id))
        return Int64(length)
    }

    /// More in one call is cut, as a short read is.
    private static let longest: UInt64 = 1 << 20

    private func place(_ offset: UInt64, _ count: UInt64) throws(Refusal) -> (UInt32, UInt64, Int) {
        let number = offset >> Self.regionShift
        guard number > 0, number <= UInt64(Self.regions) else { throw Refusal(EINVAL) }
        let index = UInt32(number - 1)
        let place = offset & (1 << Self.regionShift - 1)
        let size = function.region(index).size
        guard place < size else { throw Refusal(EINVAL) }
        return (index, place, Int(min(count, size - place, Self.longest)))
    }
}

/// A bound device, as the daemon is asked about it.
struct DeviceName {
    let context: IOMMUFD
    let id: UInt32
}
