import HeapModule

/// Names a timer of one loop.
public struct TimerID: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// Timers by deadline: a heap; what is cancelled is skipped when it comes up, or swept when it is the majority.
struct TimerQueue {
    /// Those with the same deadline fire in the order they were set.
    private struct Entry: Comparable {
        let deadline: UInt64
        let number: UInt64

        static func < (one: Entry, other: Entry) -> Bool {
            one.deadline != other.deadline ? one.deadline < other.deadline : one.number < other.number
        }
    }

    private var heap = Heap<Entry>()
    private var bodies: [UInt64: () -> Void] = [:]
    private var lastNumber: UInt64 = 0

    /// Timers that have neither fired nor been cancelled.
    var count: Int { bodies.count }

    mutating func add(at deadline: UInt64, _ body: @escaping () -> Void) -> TimerID {
        lastNumber += 1
        bodies[lastNumber] = body
        heap.insert(Entry(deadline: deadline, number: lastNumber))
        return TimerID(number: lastNumber)
    }

    mutating func cancel(_ timer: TimerID) {
        guard bodies.removeValue(forKey: timer.number) != nil, heap.count > 64, heap.count > 2 * bodies.count else {
            return
        }
        heap = Heap(heap.unordered.filter { bodies[$0.number] != nil })
    }

    /// When the next timer is due.
    mutating func nextDeadline() -> UInt64? {
        while let first = heap.min, bodies[first.number] == nil { heap.removeMin() }
        return heap.min?.deadline
    }

    /// Removes and returns the first timer that is due at `time` and not newer than `last`.
    mutating func takeDue(_ time: UInt64, upTo last: UInt64) -> (() -> Void)? {
        while let first = heap.min, first.deadline <= time, first.number <= last {
            heap.removeMin()
            if let body = bodies.removeValue(forKey: first.number) { return body }
        }
        return nil
    }

    var isEmpty: Bool { heap.isEmpty }
    var newest: UInt64 { lastNumber }
}
