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

    @Test func firesManyTimersInOrderWhateverIsCancelled() throws {
        var queue = TimerQueue()
        var fired: [UInt64] = []
        // Each deadline four times, in an order that is none.
        let deadlines = (0..<4000).map { UInt64($0 * 7919 % 1000) }
        let timers = deadlines.map { deadline in queue.add(at: deadline) { fired.append(deadline) } }
        for (index, timer) in timers.enumerated() where index % 4 != 0 { queue.cancel(timer) }
        #expect(queue.count == 1000)
        var time: UInt64 = 0
        while let next = queue.nextDeadline() {
            #expect(next >= time)
            time = next
            while let body = queue.takeDue(time, upTo: queue.newest) { body() }
        }
        #expect(fired == stride(from: 0, to: 4000, by: 4).map { deadlines[$0] }.sorted())
        #expect(queue.isEmpty)
    }

    // MARK: Turns

    @Test func doesLaterWhatIsPutOff() throws {
        var order: [String] = []
        let ends = try makePipe()
        let recorder = Recorder()
        recorder.onReady = {
            loop.later { order.append("put off") }
            order.append("at hand")
        }
        _ = try loop.register(ends.read, for: .input, recorder)
        loop.atEndOfTurn {
            order.append("end")
            return false
        }
        #expect(write(ends.write, "x", 1) == 1)
        try loop.turn(waiting: true)
        #expect(order == ["at hand", "put off", "end"])
        for end in [ends.read, ends.write] { close(end) }
    }

    /// However much is put off, and whatever puts itself off again: descriptors get their turn, and nothing is lost.
    @Test func putsOffWithoutKeepingAnyoneFromHisTurn() throws {
        let ends = try makePipe()
        let recorder = Recorder()
        _ = try loop.register(ends.read, for: .input, recorder)
        var done: [Int] = []
        for number in 0..<1000 { loop.later { done.append(number) } }
        var again = 0
        func goOn() {
            again += 1
            if again < 100 { loop.later(goOn) }
        }
        loop.later(goOn)
        #expect(write(ends.write, "x", 1) == 1)
        var turns = 0
        while again < 100 {
            // It would wait for ever if what is put off did not keep it going.
            try loop.turn(waiting: true)
            turns += 1
            #expect(recorder.events.count == turns)
            #expect(done.count <= turns * 100)
        }
        #expect(done == Array(0..<1000))
        #expect(turns >= 100)
        for end in [ends.read, ends.write] { close(end) }
    }

    /// It waits when nothing is put off any more.
    @Test func waitsWhenNothingIsPutOff() throws {
        loop.later {}
        #expect(try !loop.turn(waiting: true))
        loop.later { [loop] in loop.later {} }
        #expect(try loop.turn(waiting: false))
        #expect(try !loop.turn(waiting: false))
    }

    // MARK: Services

    /// A backend's queue of faults, as a kernel has it: a descriptor to read records from.
    private final class FaultSource {
        private let descriptor: Descriptor
        private var watch: DescriptorWatch?
        private(set) var records: [UInt8] = []

        init(_ descriptor: consuming Descriptor, _ services: any LoopServices) throws {
            self.descriptor = descriptor
            watch = try services.watch(self.descriptor) { [unowned self] in take() }
        }

        private func take() {
            var record: UInt8 = 0
            if read(descriptor.number, &record, 1) == 1 { records.append(record) }
        }

        func end() { watch = nil }
    }

    @Test func watchesADescriptorForOneWhoDoesNotKnowTheLoop() throws {
        let ends = try makePipe()
        let source = try FaultSource(Descriptor(adopting: ends.read), loop)
        try loop.turn(waiting: false)
        #expect(source.records.isEmpty)
        #expect(write(ends.write, "abc", 3) == 3)
        for _ in 0..<3 { try loop.turn(waiting: true) }
        #expect(source.records == Array("abc".utf8))
        #expect(write(ends.write, "d", 1) == 1)
        source.end()
        try loop.turn(waiting: false)
        #expect(source.records.count == 3)
        close(ends.write)
    }

    @Test func refusesToWatchAFile() throws {
        let file = try Descriptor(opening: "/proc/self/exe", O_RDONLY)
        let error = #expect(throws: SystemError.self) { _ = try loop.watch(file) {} }
        #expect(error?.errno == EPERM)
    }

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
