import Glibc
import Synchronization
import Testing

@testable import LinuxIO

@Suite struct EventLoopTests {
    let loop: EventLoop

    init() throws { loop = try EventLoop() }

    final class Recorder: EventHandler {
        var events: [EventMask] = []
        var onReady: () -> Void = {}

        func ready(_ events: EventMask) {
            self.events.append(events)
            onReady()
        }
    }

    private func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemError.current("pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    @Test func deliversWhatIsWatchedFor() throws {
        let ends = try makePipe()
        let recorder = Recorder()
        let registration = try loop.register(ends.read, for: .input, recorder)
        #expect(write(ends.write, "x", 1) == 1)
        try loop.turn(waiting: true)
        #expect(recorder.events == [.input])
        loop.modify(registration, for: [])
        try loop.turn(waiting: false)
        #expect(recorder.events.count == 1)
        close(ends.write)
        try loop.turn(waiting: true)
        #expect(recorder.events.last?.contains(.hangUp) == true)
        loop.unregister(registration)
        try loop.turn(waiting: false)
        #expect(recorder.events.count == 2)
        close(ends.read)
    }

    @Test func deliversNothingToWhatWasUnregisteredInTheSameTurn() throws {
        let (one, two) = (try makePipe(), try makePipe())
        let (first, second) = (Recorder(), Recorder())
        let registrations = [
            try loop.register(one.read, for: .input, first), try loop.register(two.read, for: .input, second),
        ]
        first.onReady = { loop.unregister(registrations[1]) }
        second.onReady = { loop.unregister(registrations[0]) }
        for ends in [one, two] { #expect(write(ends.write, "x", 1) == 1) }
        try loop.turn(waiting: true)
        try loop.turn(waiting: false)
        // Whichever came first silenced the other, and its own byte is still there.
        #expect((first.events.isEmpty) != (second.events.isEmpty))
        for ends in [one, two] {
            close(ends.read)
            close(ends.write)
        }
    }

    @Test func refusesADescriptorThatCannotBeWatched() {
        #expect(throws: SystemError.self) { try loop.register(-1, for: .input, Recorder()) }
    }

    // MARK: Timers

    @Test func firesTimersInOrderOfDeadlineAndNotBefore() throws {
        let began = MonotonicClock.nanoseconds
        var fired: [Int] = []
        var times: [UInt64] = []
        for (number, delay) in [(3, 30), (1, 10), (2, 20), (0, 0)] {
            loop.schedule(after: UInt64(delay) * 1_000_000) {
                fired.append(number)
                times.append(MonotonicClock.nanoseconds - began)
            }
        }
        while fired.count < 4 { try loop.turn(waiting: true) }
        #expect(fired == [0, 1, 2, 3])
        for (number, time) in zip(fired, times) { #expect(time >= UInt64(number) * 10_000_000) }
    }

    @Test func forgetsCancelledTimers() throws {
        var fired = 0
        let timers = (0..<1000).map { _ in loop.schedule(after: 1_000_000) { fired += 1 } }
        for timer in timers.dropLast() { loop.cancel(timer) }
        while fired == 0 { try loop.turn(waiting: true) }
        try loop.turn(waiting: false)
        #expect(fired == 1)
        loop.cancel(timers[999])
    }

    @Test func leavesATimerSetByATimerToTheNextTurn() throws {
        var fired = 0
        func again() {
            fired += 1
            loop.schedule(after: 0, again)
        }
        loop.schedule(after: 0, again)
        for turn in 1...5 {
            try loop.turn(waiting: true)
            #expect(fired == turn)
        }
    }

    // MARK: Turns

    @Test func endsEveryTurnWithItsWork() throws {
        var order: [Int] = []
        var left = 3
        let first = loop.atEndOfTurn {
            order.append(1)
            left -= 1
            if left == 0 { loop.stop() }
            return left > 0
        }
        loop.atEndOfTurn {
            order.append(2)
            return false
        }
        // It would wait for ever if work left over did not keep it going.
        loop.schedule(after: 0) {}
        try loop.run()
        #expect(order == [1, 2, 1, 2, 1, 2])
        loop.removeFromEndOfTurn(first)
        try loop.turn(waiting: false)
        #expect(order.suffix(1) == [2])
    }

    // MARK: Other threads

    @Test func receivesMessagesOfOtherThreadsInOrder() throws {
        var received: [Int] = []
        let mailbox = try loop.openMailbox(of: Int.self) { received.append($0) }
        let pool = try WorkerPool(loop: loop, threads: 1)
        var isDone = false
        let isAccepted = pool.submit(key: 0) {
            for number in 0..<10_000 { mailbox.post(number) }
        } completion: {
            isDone = true
        }
        #expect(isAccepted)
        while !isDone || received.count < 10_000 { try loop.turn(waiting: true) }
        #expect(received == Array(0..<10_000))
    }

    @Test func refusesMessagesBeyondTheCapacity() throws {
        var received: [Int] = []
        let mailbox = try loop.openMailbox(of: Int.self, capacity: 2) { received.append($0) }
        #expect([1, 2, 3].map { mailbox.post($0) } == [true, true, false])
        try loop.turn(waiting: true)
        #expect(mailbox.post(4))
        try loop.turn(waiting: true)
        #expect(received == [1, 2, 4])
    }

    @Test func receivesSignals() throws {
        var received: [Int32] = []
        // To this thread only: other tests share the process.
        let signal = SIGURG
        try loop.onSignals([signal]) { received.append($0) }
        #expect(pthread_kill(pthread_self(), signal) == 0)
        while received.isEmpty { try loop.turn(waiting: true) }
        #expect(received == [signal])
    }
}
