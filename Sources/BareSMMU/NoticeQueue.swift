import DequeModule
import IOMMU

/// What the VMM has to be told, and has not been taken yet.
struct NoticeQueue {
    private var waiting: Deque<BareSMMUNotice> = []
    /// Taken before and not told.
    private var lost: UInt64 = 0

    var count: Int { waiting.count }
    /// Nothing has happened that the VMM does not know of.
    var isEmpty: Bool { waiting.isEmpty }
    /// There is something to take.
    var hasAny: Bool { !waiting.isEmpty || lost > 0 }

    var first: BareSMMUNotice? { waiting.first }

    mutating func removeFirst() { waiting.removeFirst() }

    /// Neighbouring ranges become one.
    mutating func add(_ notice: BareSMMUNotice) {
        if case .invalidate(let next) = notice, case .invalidate(var last)? = waiting.last, last.absorb(next) {
            return waiting[waiting.count - 1] = .invalidate(last)
        }
        waiting.append(notice)
    }

    mutating func take() -> [BareSMMUNotice] {
        defer { (waiting, lost) = ([], 0) }
        return (lost > 0 ? [.lost(lost)] : []) + waiting
    }

    /// So many that were taken could not be told.
    mutating func lose(_ count: UInt64) { lost += count }
}
