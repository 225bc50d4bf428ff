/// Names a timer of one loop.
public struct TimerID: Hashable, Sendable {
    fileprivate let number: UInt64
}

/// Timers by deadline: a binary heap; what is cancelled is skipped when it comes up, or swept when it is the majority.
struct TimerQueue {
    private struct Entry {
        let deadline: UInt64
        let number: UInt64
    }

    private var heap: [Entry] = []
    private var bodies: [UInt64: () -> Void] = [:]
    private var lastNumber: UInt64 = 0

    /// Timers that have neither fired nor been cancelled.
    var count: Int { bodies.count }

    mutating func add(at deadline: UInt64, _ body: @escaping () -> Void) -> TimerID {
        lastNumber += 1
        bodies[lastNumber] = body
        heap.append(Entry(deadline: deadline, number: lastNumber))
        siftUp(heap.count - 1)
        return TimerID(number: lastNumber)
    }

    mutating func cancel(_ timer: TimerID) {
        guard bodies.removeValue(forKey: timer.number) != nil, heap.count > 64, heap.count > 2 * bodies.count else {
            return
        }
        // A list in order of deadline is a heap.
        heap = heap.filter { bodies[$0.number] != nil }.sorted { Self.isBefore($0, $1) }
    }

    /// When the next timer is due.
    mutating func nextDeadline() -> UInt64? {
        while let first = heap.first, bodies[first.number] == nil { removeFirst() }
        return heap.first?.deadline
    }

    /// Removes and returns the first timer that is due at `time` and not newer than `last`.
    mutating func takeDue(_ time: UInt64, upTo last: UInt64) -> (() -> Void)? {
        while let first = heap.first, first.deadline <= time, first.number <= last {
            removeFirst()
            if let body = bodies.removeValue(forKey: first.number) { return body }
        }
        return nil
    }

    var isEmpty: Bool { heap.isEmpty }
    var newest: UInt64 { lastNumber }

    // MARK: Heap

    private static func isBefore(_ one: Entry, _ other: Entry) -> Bool {
        one.deadline != other.deadline ? one.deadline < other.deadline : one.number < other.number
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0, Self.isBefore(heap[index], heap[(index - 1) / 2]) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count {
                if Self.isBefore(heap[child], heap[least]) { least = child }
            }
            guard least != index else { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
