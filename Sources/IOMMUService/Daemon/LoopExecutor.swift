import DequeModule
import IOMMU
import LinuxIO

/// Runs the backend's blocking work on the loop's worker threads.
package final class LoopExecutor: WorkExecutor, LoopHolder {
    package let loop: EventLoop
    private let pool: WorkerPool
    /// What the pool had no room for, in order. Bounded by the calls that can wait: one for each connection.
    private var overflow = Deque<() -> Bool>()

    package init(loop: EventLoop, pool: WorkerPool) {
        self.loop = loop
        self.pool = pool
    }

    package func perform<Value: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        let submit = { [pool, weak self] in
            pool.submit(key: key, work) { value in
                completion(value)
                self?.submitOverflow()
            }
        }
        if overflow.isEmpty, submit() { return }
        overflow.append(submit)
    }

    private func submitOverflow() {
        while let next = overflow.first, next() { overflow.removeFirst() }
    }
}
