import DequeModule
import IOMMU
import LinuxIO

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
    /// Sends one notice in its place before the reply to the call in hand; false, and nothing sent, if the connection
    /// has no room for it now.
    func tell(_ notice: Notice) -> Bool
}

/// One client's subscription: a bounded queue that never holds others up.
package final class Subscription {
    /// What the client wants to be told of.
    package var kinds: EventKinds
    /// Other sessions' events, too.
    package var wantsAll = false
    private let sink: any NoticeSink
    private let capacity: Int
    /// The user's, on which the events that wait are.
    private let account: Account?
    private var queue = Deque<Event>()
    /// Most events that waited since the queue was last empty.
    private var peak = 0
    private var lost: UInt64 = 0
    /// A later turn sends what waits.
    var isToBeSent = false
    private var sequence: UInt64 = 0

    /// - Parameters:
    ///   - capacity: events that wait at most; later ones are counted as lost.
    ///   - account: of the user, whose limit of events that wait holds for all of the user's subscriptions together.
    package init(kinds: EventKinds, sink: any NoticeSink, capacity: Int, account: Account? = nil) {
        self.account = account
        self.kinds = kinds
        self.sink = sink
        self.capacity = capacity
    }

    deinit { account?.release(UInt64(queue.count), of: .waitingEvents) }

    /// Events that have not been sent.
    package var waiting: Int { queue.count }

    /// Queues the event, or counts it as lost, and sends what there is room for. Returns whether it was lost.
    @discardableResult
    func publish(_ event: Event) -> Bool {
        flush()
        let isLost = enqueue(event)
        flush()
        return isLost
    }

    /// As ``publish(_:)``, without sending anything.
    func enqueue(_ event: Event) -> Bool {
        guard lost == 0, waiting < capacity, account?.take(1, of: .waitingEvents) ?? true else {
            lost += 1
            return true
        }
        queue.append(event)
        peak = max(peak, queue.count)
        return false
    }

    /// Nothing more is sent, and nothing waits.
    func end() {
        account?.release(UInt64(queue.count), of: .waitingEvents)
        queue = Deque()
        lost = 0
    }

    /// Tells of an event in its place before the reply to the call in hand; false if the client has to read first what
    /// it was told before.
    func tell(_ event: Event) -> Bool {
        tell { .event(event, sequence: $0) }
    }

    /// Tells in the same way that events were lost.
    func tellLost(_ count: UInt64) -> Bool {
        tell { .lost(count, sequence: $0, time: Timestamp.now()) }
    }

    private func tell(_ notice: (_ sequence: UInt64) -> Notice) -> Bool {
        flush()
        guard queue.isEmpty, lost == 0, sink.tell(notice(sequence + 1)) else { return false }
        sequence += 1
        return true
    }

    /// Sends what waits; called again when the connection has room.
    package func flush() {
        var budget = TurnBudget(units: .max)
        _ = flush(&budget)
    }

    /// Sends what waits, as far as the connection has room and the budget lasts.
    ///
    /// - Returns: false if there is more that the connection has room for.
    func flush(_ budget: inout TurnBudget) -> Bool {
        while let event = queue.first {
            guard sink.send(.event(event, sequence: sequence + 1)) else { return true }
            sequence += 1
            queue.removeFirst()
            account?.release(1, of: .waitingEvents)
            if budget.isSpent(after: 2) { return queue.isEmpty && lost == 0 }
        }
        // A burst is over: what it took is given back.
        if peak > 64 { queue = Deque() }
        peak = 0
        guard lost > 0, sink.send(.lost(lost, sequence: sequence + 1, time: Timestamp.now())) else { return true }
        sequence += 1
        lost = 0
        return true
    }
}
