import IOMMU

/// What a subscriber is told next.
package enum Notice: Sendable {
    case event(Event, sequence: UInt64)
    /// So many events were dropped since the last notice.
    case lost(UInt64, sequence: UInt64, time: String)
}

/// Takes notices to a subscriber's connection.
package protocol NoticeSink: AnyObject {
    /// Sends one notice; false, and nothing sent, if the connection has no room for it now.
    func send(_ notice: Notice) -> Bool
}

/// One client's subscription: a bounded queue that never holds others up.
package final class Subscription {
    package var kinds: EventKinds
    /// Other sessions' events, too.
    package var wantsAll = false
    private let sink: any NoticeSink
    private let capacity: Int
    private var queue: [Event] = []
    /// Of `queue`, the first that has not been sent.
    private var head = 0
    private var lost: UInt64 = 0
    private var sequence: UInt64 = 0

    /// - Parameter capacity: events that wait at most; later ones are counted as lost.
    package init(kinds: EventKinds, sink: any NoticeSink, capacity: Int) {
        self.kinds = kinds
        self.sink = sink
        self.capacity = capacity
    }

    package var waiting: Int { queue.count - head }

    /// Queues the event, or counts it as lost, and sends what there is room for. Returns whether it was lost.
    @discardableResult
    func publish(_ event: Event) -> Bool {
        flush()
        guard lost == 0, waiting < capacity else {
            lost += 1
            return true
        }
        queue.append(event)
        flush()
        return false
    }

    /// Sends what waits; called again when the connection has room.
    package func flush() {
        while head < queue.count {
            guard sink.send(.event(queue[head], sequence: sequence + 1)) else { return compact() }
            sequence += 1
            head += 1
        }
        compact()
        guard lost > 0, sink.send(.lost(lost, sequence: sequence + 1, time: Timestamp.now())) else { return }
        sequence += 1
        lost = 0
    }

    private func compact() {
        if head == queue.count {
            queue.removeAll(keepingCapacity: queue.capacity <= 64)
            head = 0
        } else if head > 256 {
            queue.removeFirst(head)
            head = 0
        }
    }
}
