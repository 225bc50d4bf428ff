import CLinux
import Glibc
import Testing

@testable import LinuxIO

@Suite struct PieceTests {
    let loop: EventLoop

    init() throws { loop = try EventLoop() }

    @Test func countsStepsWithoutAClock() {
        var budget = TurnBudget(units: 3)
        let answers = (0..<4).map { _ in budget.isSpent() }
        #expect(answers == [false, false, true, true])
        var large = TurnBudget(units: 3)
        let isSpent = large.isSpent(after: 100)
        #expect(isSpent)
    }

    @Test func isSpentWhenItsTimeHasCome() {
        var over = TurnBudget(until: MonotonicClock.nanoseconds)
        var asked = 0
        while !over.isSpent() { asked += 1 }
        #expect(asked < TurnBudget.unitsBetweenLooks)
        let isOver = over.isSpent(after: 0)
        #expect(isOver)
        var long = TurnBudget(until: .max)
        let isLongSpent = long.isSpent(after: 1_000_000)
        #expect(!isLongSpent)
    }

    /// Descriptors and timers get their turn while the work goes on, and the loop does not wait before it is done.
    @Test func goesOnInTurnsUntilItIsDone() throws {
        let wakeUp = try Descriptor(opened: clinux_make_eventfd(), "eventfd")
        #expect(eventfd_write(wakeUp.number, 1) == 0)
        var readings = 0
        let watch = try loop.watch(wakeUp) { readings += 1 }
        defer { watch.end() }
        var steps = 0
        var pieces = 0
        loop.inPieces(for: 1) { budget in
            pieces += 1
            repeat {
                steps += 1
                if steps == 1_000_000 { return true }
            } while !budget.isSpent()
            return false
        }
        #expect(pieces == 0)
        var turns = 0
        while try loop.turn(waiting: true) {
            turns += 1
            #expect(readings == turns)
        }
        #expect(steps == 1_000_000)
        #expect(pieces >= turns)
    }

    /// One who has a thousand things to do gets no more turns than one who has one.
    @Test func usersTakeTurns() throws {
        var order: [UInt32] = []
        for _ in 0..<1000 {
            loop.inPieces(for: 1) { _ in
                order.append(1)
                return true
            }
        }
        var left = 5
        loop.inPieces(for: 2) { _ in
            order.append(2)
            left -= 1
            return left == 0
        }
        while try loop.turn(waiting: false) {}
        #expect(order.count == 1005)
        #expect(order.prefix(10) == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
    }

    /// A turn takes about its budget, however many pieces there are.
    @Test func aTurnHasABudget() throws {
        var done = 0
        for _ in 0..<64 {
            loop.inPieces(for: 1) { budget in
                while !budget.isSpent() {}
                done += 1
                return true
            }
        }
        try loop.turn(waiting: false)
        #expect((1...8).contains(done))
        while try loop.turn(waiting: false) {}
        #expect(done == 64)
    }
}

@Suite struct UserTurnTests {
    private final class Recorder: EventHandler {
        let descriptor: Int32
        private let note: () -> Void

        init(_ descriptor: Int32, _ note: @escaping () -> Void) {
            self.descriptor = descriptor
            self.note = note
        }

        func ready(_ events: EventMask) {
            var count: eventfd_t = 0
            if eventfd_read(descriptor, &count) == 0 { note() }
        }
    }

    /// A user with a hundred connections gets no more turns than one with one.
    @Test func usersTakeTurnsHoweverManyDescriptorsTheyHave() throws {
        let loop = try EventLoop()
        var order: [UInt32] = []
        var numbers: [Int32] = []
        defer { for number in numbers { close(number) } }
        for index in 0..<101 {
            let user: UInt32 = index < 100 ? 1 : 2
            let number = clinux_make_eventfd()
            try #require(number >= 0 && eventfd_write(number, 1) == 0)
            numbers.append(number)
            _ = try loop.register(number, for: [.input, .once], user: user, Recorder(number) { order.append(user) })
        }
        while order.count < 101 { try loop.turn(waiting: true) }
        #expect(order.prefix(2).contains(2))
        #expect(order.count { $0 == 1 } == 100)
    }

    /// What is in hand when a turn takes long is to blame for it.
    @Test func theLongestTurnIsKnown() throws {
        let loop = try EventLoop()
        loop.meter.pointee.label = .method(3)
        loop.inPieces(for: 1) { _ in
            var start = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start)
            var now = start
            while (now.tv_sec - start.tv_sec) * 1_000_000_000 + now.tv_nsec - start.tv_nsec < 3_000_000 {
                clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
            }
            return true
        }
        try loop.turn(waiting: false)
        let turns = loop.meter.pointee.statistics
        #expect(turns.longest[.method(3), default: 0] >= 3000)
        #expect(turns.buckets.dropFirst(5).reduce(0, +) == 1)
        #expect(turns.buckets.reduce(0, +) == 1)
    }
}
