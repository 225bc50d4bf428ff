import IOMMU
import LinuxIO

/// Work that is done by the loop's own thread, in a later turn: one thing after the other.
package final class TurnWork: WorkExecutor, LoopHolder {
    package let loop: EventLoop

    package init() throws { loop = try EventLoop() }

    package func perform<Value: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        loop.later { completion(work()) }
    }
}

/// Work on real threads, with completions on a loop that the test turns.
package final class LoopWork: WorkExecutor, LoopHolder {
    package let loop: EventLoop
    private let pool: WorkerPool

    package init() throws {
        loop = try EventLoop()
        pool = try WorkerPool(loop: loop)
    }

    package func perform<Value: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        let isTaken = pool.submit(key: key, work, completion: completion)
        assert(isTaken, "a test has more work than the pool takes")
    }

    /// Turns the loop until something is so; each turn waits for something to happen.
    package func turn(until isSo: () -> Bool) throws {
        while !isSo() { try loop.turn(waiting: true) }
    }

    /// What an answer comes to.
    package func value<Value>(_ answer: Answer<Value>) throws -> Value {
        switch answer {
        case .now(let value): return value
        case .later(let deferred):
            var result: Result<Value, IOMMUError>?
            deferred.whenSettled { result = $0 }
            try turn { result != nil }
            guard let result else { throw SystemError(errno: 0, "no result") }
            return try result.get()
        }
    }
}
