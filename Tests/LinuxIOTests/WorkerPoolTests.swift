import Glibc
import Synchronization
import TestSupport
import Testing

@testable import LinuxIO

@Suite struct WorkerPoolTests {
    @Test func keepsAKeysJobsInOrder() throws {
        let loop = try EventLoop()
        let pool = try WorkerPool(loop: loop, threads: 4)
        let log = Log()
        var completed: [Int] = []
        for number in 0..<200 {
            let isAccepted = pool.submit(key: 7) {
                log.append(number)
                return number
            } completion: {
                completed.append($0)
            }
            #expect(isAccepted)
        }
        while completed.count < 200 { try loop.turn(waiting: true) }
        #expect(log.entries == Array(0..<200))
        #expect(completed == Array(0..<200))
        #expect(pool.pending == 0)
    }

    @Test func runsDifferentKeysInParallel() throws {
        let loop = try EventLoop()
        let pool = try WorkerPool(loop: loop, threads: 2)
        // Each job waits for the other: they can only end together.
        let first = Handover<Void>()
        let second = Handover<Void>()
        var completed = 0
        #expect(
            pool.submit(key: 1) {
                first.put(())
                second.wait()
            } completion: {
                completed += 1
            })
        #expect(
            pool.submit(key: 2) {
                second.put(())
                first.wait()
            } completion: {
                completed += 1
            })
        while completed < 2 { try loop.turn(waiting: true) }
    }

    @Test func refusesMoreThanItsCapacity() throws {
        let loop = try EventLoop()
        let pool = try WorkerPool(loop: loop, threads: 1, capacity: 2)
        let gate = Handover<Void>()
        var completed = 0
        #expect(
            pool.submit(key: 1) {
                gate.wait()
            } completion: {
                completed += 1
            })
        #expect(
            pool.submit(key: 2) {
            } completion: {
                completed += 1
            })
        #expect(
            !pool.submit(key: 3) {
            } completion: {
                completed += 1
            })
        gate.put(())
        while completed < 2 { try loop.turn(waiting: true) }
        #expect(
            pool.submit(key: 3) {
            } completion: {
                completed += 1
            })
        while completed < 3 { try loop.turn(waiting: true) }
    }

    private final class Log: Sendable {
        private let state = Mutex<[Int]>([])

        var entries: [Int] { state.withLock { $0 } }

        func append(_ number: Int) { state.withLock { $0.append(number) } }
    }
}
