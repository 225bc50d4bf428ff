import DequeModule
import IOMMU

/// Event records for a virtual machine, bounded; what found no room shows as a gap in the sequence.
package final class VEventQueue: SessionObject {
    /// Sequence numbers wrap here, as in iommufd.
    private static let sequenceMask: UInt32 = 0x7fff_ffff
    /// Most events that a queue may be made for.
    package static let maxDepth: UInt32 = 1 << 19

    let viommu: VIOMMU
    let depth: Int
    private var events = Deque<VirtualEvent>()
    private var sequence: UInt32 = 0
    /// The newest event that found no room; it is told at the end of the queue until a later event gets in.
    private var lostSequence: UInt32?

    init(viommu: VIOMMU, depth: UInt32) {
        self.viommu = viommu
        self.depth = Int(depth)
        super.init(.veventq)
    }

    override var references: [SessionObject] { [viommu] }
    override var state: [IOMMUError.Member] {
        [
            .init("depth", .number(UInt64(depth))),
            .init("events", .number(UInt64(events.count))),
        ]
    }

    /// - Returns: whether there was room.
    func append(_ record: [UInt64]) -> Bool {
        let number = sequence
        sequence = (sequence + 1) & Self.sequenceMask
        guard events.count < depth else {
            lostSequence = number
            return false
        }
        lostSequence = nil
        events.append(VirtualEvent(sequence: number, lost: false, record: record))
        return true
    }

    /// Nobody knows what has come: the next read says so.
    func loseAll() {
        events.removeAll()
        lostSequence = sequence
        sequence = (sequence + 1) & Self.sequenceMask
    }

    func read(max: Int) -> [VirtualEvent] {
        var taken: [VirtualEvent] = []
        while taken.count < max, let event = events.popFirst() { taken.append(event) }
        if taken.count < max, let number = lostSequence {
            taken.append(VirtualEvent(sequence: number, lost: true, record: []))
            lostSequence = nil
        }
        return taken
    }
}
