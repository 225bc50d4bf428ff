import CLinux
import Glibc
import LinuxIO

/// The accelerator as a PCI function: configuration space, BAR0 with its registers, BAR2 with its doorbell, MSI-X.
///
/// BAR0 is read and written by calls; BAR2 is memory that the program maps, and that the function looks at while its
/// queue is on. `Documentation/Run.md` describes it for who writes a driver.
final class AcceleratorFunction {
    /// Of MSI-X.
    static let vectors = 8
    /// `VFIO_PCI_MSIX_IRQ_INDEX`
    static let messageIndex: UInt32 = 2
    private static let registerBytes: UInt64 = 4096
    private static let doorbellBytes: UInt64 = 65_536
    private static let (table, pending): (UInt32, UInt32) = (0x800, 0xc00)

    /// What of `struct vfio_region_info` differs.
    struct Region {
        let size: UInt64
        /// Read 1, write 2, map 4.
        let flags: UInt32
    }

    private unowned let supervisor: Supervisor
    private var configuration = AcceleratorFunction.configured()
    private var messages = [UInt8](repeating: 0, count: Int(registerBytes) - Int(table))
    private var eventfds = [SharedDescriptor?](repeating: nil, count: vectors)
    /// BAR2; nil where the system has no memory for it.
    private let doorbells: UnsafeMutableRawPointer?
    private var queue: DescriptorQueue?
    private var settings = QueueSettings()

    /// - Parameter file: what the program maps.
    init(_ supervisor: Supervisor, file: Int32) {
        self.supervisor = supervisor
        let mapped = mmap(
            nil, Int(Self.doorbellBytes), PROT_READ | PROT_WRITE, MAP_SHARED, file, off_t(VFIODevice.offset(of: 2)))
        doorbells = mapped == MAP_FAILED ? nil : mapped
    }

    deinit { if let doorbells { munmap(doorbells, Int(Self.doorbellBytes)) } }

    private static func configured() -> PCIConfiguration {
        PCIConfiguration(
            bars: [UInt32(registerBytes), 0, UInt32(doorbellBytes), 0, 0, 0], vectors: vectors, table: table,
            pending: pending)
    }

    /// As after power on, but for the interrupts' eventfds.
    func reset() {
        queue?.end()
        queue = nil
        settings = QueueSettings()
        configuration = Self.configured()
        if let doorbells { memset(doorbells, 0, Int(Self.doorbellBytes)) }
    }

    func region(_ index: UInt32) -> Region {
        switch index {
        case 0: Region(size: Self.registerBytes, flags: 3)
        case 2: Region(size: Self.doorbellBytes, flags: 7)
        case 7: Region(size: UInt64(PCIConfiguration.size), flags: 3)
        default: Region(size: 0, flags: 0)
        }
    }

    // MARK: Interrupts

    func set(vector: Int, _ eventfd: SharedDescriptor?) { eventfds[vector] = eventfd }

    func forgetVectors() { eventfds = eventfds.map { _ in nil } }

    func raise(vector: Int) {
        guard eventfds.indices.contains(vector), let eventfd = eventfds[vector] else { return }
        var one: UInt64 = 1
        // A counter that is full is readable already.
        _ = Glibc.write(eventfd.number, &one, 8)
    }

    // MARK: Access

    /// The range lies in the region.
    func read(region: UInt32, _ offset: UInt64, _ count: Int) -> [UInt8] {
        switch region {
        case 7: return configuration.read(Int(offset), count)
        case 2:
            guard let doorbells else { return [UInt8](repeating: 0xff, count: count) }
            return Array(UnsafeRawBufferPointer(start: doorbells + Int(offset), count: count))
        default:
            let registers = self.registers
            return Array(registers[Int(offset)..<Int(offset) + count])
        }
    }

    /// The range lies in the region.
    func write(region: UInt32, _ offset: UInt64, _ bytes: [UInt8], _ device: DeviceName) throws(Refusal) {
        switch region {
        case 7: configuration.write(Int(offset), bytes)
        case 2:
            guard let doorbells else { return }
            UnsafeMutableRawBufferPointer(start: doorbells + Int(offset), count: bytes.count).copyBytes(from: bytes)
        default:
            guard offset < Self.table else { return store(message: Int(offset), bytes) }
            guard bytes.count == 4 || bytes.count == 8, offset % UInt64(bytes.count) == 0 else { throw Refusal(EINVAL) }
            let words = ArgumentBytes(bytes)
            for index in 0..<bytes.count / 4 {
                try write(register: offset + UInt64(4 * index), words[word32: 4 * index], device)
            }
        }
    }

    private func store(message offset: Int, _ bytes: [UInt8]) {
        let start = offset - Int(Self.table)
        messages.replaceSubrange(start..<start + bytes.count, with: bytes)
    }

    // MARK: Registers

    private enum Register {
        static let (identity, version, control, status, error) = (0x00, 0x04, 0x0c, 0x10, 0x14)
        static let (base, size, vector, head, kick) = (0x18, 0x20, 0x28, 0x30, 0x34)
    }

    private var registers: [UInt8] {
        var bytes = ArgumentBytes([UInt8](repeating: 0, count: Int(Self.table)))
        bytes[word32: Register.identity] = 0x414d_4f49
        bytes[word32: Register.version] = 1
        bytes[word32: Register.control] = queue == nil ? 0 : 1
        bytes[word32: Register.status] = queue?.status ?? 0
        bytes[word32: Register.error] = queue?.error ?? 0
        bytes[word64: Register.base] = settings.base
        bytes[word32: Register.size] = settings.entries
        bytes[word32: Register.vector] = settings.vector
        bytes[word32: Register.head] = queue?.head ?? 0
        return bytes.bytes + messages
    }

    private func write(register offset: UInt64, _ value: UInt32, _ device: DeviceName) throws(Refusal) {
        switch Int(offset) {
        case Register.control: try control(value, device)
        case Register.base where queue == nil:
            settings.base = settings.base & ~0xffff_ffff | UInt64(value)
        case Register.base + 4 where queue == nil:
            settings.base = settings.base & 0xffff_ffff | UInt64(value) << 32
        case Register.size where queue == nil: settings.entries = value
        case Register.vector where queue == nil: settings.vector = value
        case Register.kick: queue?.look()
        default: return
        }
    }

    /// Bit 0 turns the queue on, which takes a ring of a power of two; off, what has been begun is abandoned.
    private func control(_ value: UInt32, _ device: DeviceName) throws(Refusal) {
        guard value & 2 == 0 else { return reset() }
        guard value & 1 != 0 else {
            queue?.end()
            queue = nil
            return
        }
        guard queue == nil, let doorbells, settings.isUsable, configuration.mayReachMemory else { return }
        queue = try DescriptorQueue(supervisor, device, settings, doorbells) { [weak self] in self?.raise(vector: $0) }
    }
}

/// What software says of the queue before it turns it on.
struct QueueSettings {
    /// IOVA of the ring.
    var base: UInt64 = 0
    /// Descriptors in it.
    var entries: UInt32 = 0
    /// Of the interrupts; from ``AcceleratorFunction/vectors`` on there are none.
    var vector: UInt32 = .max

    var isUsable: Bool { entries.nonzeroBitCount == 1 && (2...4096).contains(entries) && base & 63 == 0 }
}
