import CLinux
import DequeModule
import Glibc

/// One thread's epoll loop: descriptors, timers, signals, and messages of other threads.
///
/// Everything below `run()` belongs to the thread that calls it; nothing here is Sendable, so that the compiler keeps
/// it there. Other threads speak to the loop through a `Mailbox` only.
///
/// A turn: wait, handle what is ready, run due timers, then what was put off (``later(_:)``), then pieces of long work
/// (``inPieces(for:_:)``), then the end-of-turn work in the order it was added.
public final class EventLoop {
    /// Names one registered descriptor.
    public struct Registration: Equatable {
        fileprivate let index: Int
        fileprivate let generation: UInt32
        fileprivate let descriptor: Int32
    }

    private struct Slot {
        var handler: (any EventHandler)?
        var generation: UInt32 = 0
        /// Whose work its events are; `nil`: the daemon's own, which never waits.
        var user: UInt32?
        /// What has been reported and waits for its turn.
        var waiting: EventMask = []
    }

    /// A slot that waits for its turn.
    private struct Arrival {
        let index: Int
        let generation: UInt32
    }

    private struct Work {
        let label: TurnLabel
        var isOnceATurn = false
        let piece: (inout TurnBudget) -> Bool
    }

    /// Few: replies are sent at the end of a turn, while what they were made of is still in the caches, and clients get
    /// to work meanwhile.
    private static let eventsPerTurn = 16
    /// All that is ready has to be known for users to take turns.
    private static let eventsAtOnce = 256

    private let epoll: Descriptor
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private let events: UnsafeMutablePointer<epoll_event>
    private var endOfTurn: [(id: TurnEndID, body: () -> Bool)] = []
    private var lastTurnEnd = 0
    private var isStopped = false
    private var timers = TimerQueue()
    private var putOff = Deque<() -> Void>()
    /// Of what was put off; descriptors get their turn in between.
    private static let putOffPerTurn = 64
    private var pieces = UserQueue<Work>()
    /// Those that have had this turn's piece.
    private var nextTurn: [(work: Work, user: UInt32)] = []
    private var arrivals = UserQueue<Arrival>()
    /// Descriptors of each user. As long as there is one user only, nobody has to wait for his turn.
    private var descriptorsOfUsers: [UInt32: Int] = [:]
    /// What the turn in hand is spent on.
    public let meter: UnsafeMutablePointer<TurnMeter>
    /// Microseconds for what is ready; for all pieces of a turn; for one of them while others wait.
    private static let arrivalsPerTurn: UInt64 = 500
    private static let piecesPerTurn: UInt64 = 1000
    private static let onePiece: UInt64 = 250
    /// Wakes the loop for the next timer. A timeout of epoll_wait would have the kernel set its clock in every turn.
    private let alarm: Descriptor
    /// When the alarm is set to go off.
    private var alarmTime = UInt64.max
    private static let alarmKey = UInt64.max

    /// A loop for the calling thread.
    public init() throws(SystemError) {
        let number = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard number >= 0 else { throw .current("epoll_create1") }
        epoll = Descriptor(adopting: number)
        alarm = try Descriptor(opened: clinux_alarm_create(), "timerfd_create")
        var event = epoll_event(events: EventMask.input.rawValue, data: epoll_data_t(u64: Self.alarmKey))
        guard epoll_ctl(number, EPOLL_CTL_ADD, alarm.number, &event) == 0 else { throw .current("epoll_ctl add") }
        events = .allocate(capacity: Self.eventsAtOnce)
        meter = .allocate(capacity: 1)
        meter.initialize(to: TurnMeter())
    }

    deinit {
        events.deallocate()
        meter.deinitialize(count: 1)
        meter.deallocate()
    }

    // MARK: Descriptors

    /// Watches a descriptor. The loop keeps the handler until it is unregistered.
    ///
    /// - Parameter user: the uid for whom its events are handled: users take turns. `nil`: the daemon itself.
    public func register(
        _ descriptor: Int32, for interest: EventMask, user: UInt32? = nil, _ handler: any EventHandler
    ) throws(SystemError) -> Registration {
        let index = freeSlots.popLast() ?? slots.count
        if index == slots.count { slots.append(Slot()) }
        slots[index].handler = handler
        slots[index].user = user
        if let user { descriptorsOfUsers[user, default: 0] += 1 }
        let registration = Registration(index: index, generation: slots[index].generation, descriptor: descriptor)
        guard control(EPOLL_CTL_ADD, registration, interest) == 0 else {
            let error = SystemError.current("epoll_ctl add")
            free(index)
            throw error
        }
        return registration
    }

    /// Changes what a descriptor is watched for.
    public func modify(_ registration: Registration, for interest: EventMask) {
        guard isCurrent(registration) else { return }
        _ = control(EPOLL_CTL_MOD, registration, interest)
    }

    /// Stops watching a descriptor; to be called before it is closed. No event of it is delivered afterwards.
    public func unregister(_ registration: Registration) {
        guard isCurrent(registration) else { return }
        _ = control(EPOLL_CTL_DEL, registration, [])
        free(registration.index)
    }

    private func isCurrent(_ registration: Registration) -> Bool {
        slots[registration.index].generation == registration.generation
    }

    private func free(_ index: Int) {
        if let user = slots[index].user {
            descriptorsOfUsers[user] = descriptorsOfUsers[user].flatMap { $0 > 1 ? $0 - 1 : nil }
        }
        slots[index] = Slot(generation: slots[index].generation &+ 1)
        freeSlots.append(index)
    }

    private func control(_ operation: Int32, _ registration: Registration, _ interest: EventMask) -> Int32 {
        let key = UInt64(registration.generation) << 32 | UInt64(registration.index)
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: key))
        return epoll_ctl(epoll.number, operation, registration.descriptor, &event)
    }

    // MARK: Timers

    /// Calls `body` once, not before `nanoseconds` from now.
    @discardableResult
    public func schedule(after nanoseconds: UInt64, _ body: @escaping () -> Void) -> TimerID {
        timers.add(at: MonotonicClock.nanoseconds &+ nanoseconds, body)
    }

    /// Forgets a timer that has not fired.
    public func cancel(_ timer: TimerID) { timers.cancel(timer) }

    // MARK: Running

    /// Calls `body` on this thread when the work at hand is done: in this turn, or in one of the next if much was put
    /// off or this was itself. In order; what is ready or due gets its turn in between.
    public func later(_ body: @escaping () -> Void) { putOff.append(body) }

    /// What is put off meanwhile waits for the next turn, so that it cannot keep the loop from its descriptors.
    private func runPutOff() {
        for number in 0..<min(putOff.count, Self.putOffPerTurn) {
            if number > 0, meter.pointee.isSpent(after: 4) { return }
            putOff.removeFirst()()
        }
    }

    /// Calls `piece` in one turn after another until it returns true; users take turns, see ``LoopServices``.
    public func inPieces(for user: UInt32, _ piece: @escaping (_ budget: inout TurnBudget) -> Bool) {
        pieces.append(Work(label: meter.pointee.label, piece: piece), of: user)
    }

    /// As ``inPieces(for:_:)``, but one piece a turn and at most a quarter of a millisecond: for work that waits for
    /// somebody else's stores to memory, and could do so for a whole turn.
    public func onceATurn(for user: UInt32, _ piece: @escaping (_ budget: inout TurnBudget) -> Bool) {
        pieces.append(Work(label: meter.pointee.label, isOnceATurn: true, piece: piece), of: user)
    }

    private func runPieces() {
        guard !pieces.isEmpty else { return }
        var time = MonotonicClock.nanoseconds
        let end = time &+ Self.piecesPerTurn &* 1000
        while time < end, let (work, user) = pieces.popFirst() {
            let isAlone = pieces.isEmpty && !work.isOnceATurn
            let share = isAlone ? end &- time : min(end &- time, Self.onePiece &* 1000)
            meter.pointee.label = work.label
            meter.pointee.allow(microseconds: share / 1000)
            var budget = TurnBudget(until: time &+ share)
            if !work.piece(&budget) {
                if work.isOnceATurn { nextTurn.append((work, user)) } else { pieces.append(work, of: user) }
            }
            meter.pointee.look()
            time = MonotonicClock.nanoseconds
        }
        for (work, user) in nextTurn { pieces.append(work, of: user) }
        nextTurn.removeAll(keepingCapacity: true)
        meter.pointee.label = .other
    }

    /// Adds work for the end of every turn; it returns whether more of it waits, so that the loop does not sleep.
    @discardableResult
    public func atEndOfTurn(_ body: @escaping () -> Bool) -> TurnEndID {
        lastTurnEnd += 1
        let id = TurnEndID(number: lastTurnEnd)
        endOfTurn.append((id, body))
        return id
    }

    /// Takes work off the end of the turn.
    public func removeFromEndOfTurn(_ id: TurnEndID) { endOfTurn.removeAll { $0.id == id } }

    /// Runs turns until `stop()`.
    public func run() throws(SystemError) {
        isStopped = false
        var isBusy = false
        while !isStopped { isBusy = try turn(waiting: !isBusy) }
    }

    /// Lets `run()` return at the end of the turn.
    public func stop() { isStopped = true }

    /// One turn; without `waiting` it only handles what is ready now. Returns whether work is left.
    @discardableResult
    public func turn(waiting: Bool) throws(SystemError) -> Bool {
        let isIdle = putOff.isEmpty && pieces.isEmpty && arrivals.isEmpty
        let isShared = descriptorsOfUsers.count > 1
        let count = epoll_wait(
            epoll.number, events, Int32(isShared ? Self.eventsAtOnce : Self.eventsPerTurn),
            waiting && isIdle && setAlarm() ? -1 : 0)
        guard count >= 0 || errno == EINTR else { throw .current("epoll_wait") }
        meter.pointee.begin(allowing: Self.arrivalsPerTurn)
        receive(max(0, Int(count)))
        runDueTimers()
        runPutOff()
        runPieces()
        var isBusy = false
        for work in endOfTurn { isBusy = work.body() || isBusy }
        meter.pointee.end()
        return isBusy || !putOff.isEmpty || !pieces.isEmpty || !arrivals.isEmpty
    }

    /// Sees to it that the loop wakes up for the next timer; `false` if that is due now.
    private func setAlarm() -> Bool {
        guard let deadline = timers.nextDeadline(), deadline != alarmTime else { return true }
        guard deadline > MonotonicClock.nanoseconds, clinux_alarm_set(alarm.number, deadline) == 0 else { return false }
        alarmTime = deadline
        return true
    }

    /// A timer set by another one waits for the next turn, so that timers cannot keep the loop from its descriptors.
    private func runDueTimers() {
        guard !timers.isEmpty else { return }
        let time = MonotonicClock.nanoseconds
        let newest = timers.newest
        while let body = timers.takeDue(time, upTo: newest) { body() }
    }

    /// Handles what is ready: at once while it is little, else as much as the turn has time for, users taking turns.
    private func receive(_ count: Int) {
        let isLittle = arrivals.isEmpty && count <= Self.eventsPerTurn
        for index in 0..<count {
            let event = events[index]
            guard event.data.u64 != Self.alarmKey else {
                clinux_alarm_clear(alarm.number)
                alarmTime = .max
                continue
            }
            let slot = Int(event.data.u64 & 0xffff_ffff)
            let generation = UInt32(truncatingIfNeeded: event.data.u64 >> 32)
            // An earlier event of the same turn may have unregistered it.
            guard slots[slot].generation == generation else { continue }
            let mask = EventMask(rawValue: event.events)
            if let user = slots[slot].user, !isLittle || index > 0 && meter.pointee.isSpent(after: 1) {
                if slots[slot].waiting.isEmpty {
                    arrivals.append(Arrival(index: slot, generation: generation), of: user)
                }
                slots[slot].waiting.formUnion(mask)
            } else {
                slots[slot].handler?.ready(mask)
            }
        }
        if !arrivals.isEmpty { deliverArrivals() }
    }

    private func deliverArrivals() {
        for number in 0..<Self.eventsPerTurn {
            if number > 0, meter.pointee.isSpent(after: 1) { return }
            guard let (arrival, _) = arrivals.popFirst() else { return }
            guard slots[arrival.index].generation == arrival.generation else { continue }
            let mask = slots[arrival.index].waiting
            slots[arrival.index].waiting = []
            slots[arrival.index].handler?.ready(mask)
        }
    }
}
