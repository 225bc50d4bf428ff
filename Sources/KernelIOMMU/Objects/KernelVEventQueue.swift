import CLinux
import DequeModule
import IOMMU
import IOMMUObjects
import LinuxIO

/// The events of a virtual machine: what the descriptor has brought and nobody has read yet.
final class KernelVEventQueue: KernelObject {
    /// An SMMUv3's record.
    private static let recordBytes = 32
    private static let lostEvents: UInt32 = 1
    private static let bufferBytes = 4096

    let viommu: KernelVIOMMU
    let depth: Int
    /// nil once the queue is being destroyed.
    var descriptor: QueueDescriptor?
    private var events = Deque<VirtualEvent>()
    /// Events were lost before those that are here.
    private var hasLost = false

    init(id: ObjectID, viommu: KernelVIOMMU, depth: UInt32, _ descriptor: QueueDescriptor?) {
        self.viommu = viommu
        self.depth = Int(depth)
        self.descriptor = descriptor
        super.init(.veventq, id: id)
        viommu.eventQueue = self
    }

    func release() { viommu.eventQueue = nil }

    override var references: [KernelObject] { [viommu] }
    override var state: [IOMMUError.Member] {
        [.init("depth", .number(UInt64(depth))), .init("events", .number(UInt64(events.count)))]
    }

    /// Takes in what the kernel has, and tells of each event. - Returns: whether there is room for more.
    func take(_ tell: (VirtualEvent) -> Void) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Self.bufferBytes, alignment: 8) { buffer in
            while events.count < depth {
                let count = descriptor?.read(into: buffer) ?? 0
                guard count > 0 else { return true }
                for event in Self.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
                    events.append(event)
                    tell(event)
                }
            }
            return false
        }
    }

    /// Headers, each with a record behind it unless it stands for what was lost.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> [VirtualEvent] {
        var events: [VirtualEvent] = []
        var offset = 0
        while offset + 8 <= bytes.count {
            let flags = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            let sequence = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
            offset += 8
            guard flags & lostEvents == 0 else {
                events.append(VirtualEvent(sequence: sequence, lost: true, record: []))
                continue
            }
            guard offset + recordBytes <= bytes.count else { break }
            let words = (0..<4).map {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + $0 * 8, as: UInt64.self))
            }
            events.append(VirtualEvent(sequence: sequence, lost: false, record: words))
            offset += recordBytes
        }
        return events
    }

    /// What an earlier daemon has taken in and nobody has read is lost.
    func loseAll() { hasLost = true }

    func read(max: Int) -> [VirtualEvent] {
        var taken: [VirtualEvent] = []
        if hasLost, max > 0 { taken.append(VirtualEvent(sequence: 0, lost: true, record: [])) }
        hasLost = false
        while taken.count < max, let event = events.popFirst() { taken.append(event) }
        try? descriptor?.resume()
        return taken
    }
}
