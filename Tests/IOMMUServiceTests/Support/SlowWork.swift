import CLinux
import Glibc
import IOMMU

/// A kernel that takes as long as the test wants: work on another thread that waits for its gate.
final class SlowWork {
    private let executor: any WorkExecutor
    private let gate: Int32

    init(executor: any WorkExecutor) {
        self.executor = executor
        gate = eventfd(0, Int32(EFD_CLOEXEC | EFD_SEMAPHORE))
    }

    deinit { close(gate) }

    /// Lets so many pieces of work go on, now or when they come.
    func open(_ count: UInt64 = 1) { eventfd_write(gate, count) }

    func answer<Value: Sendable>(
        _ key: UInt64, _ work: @escaping @Sendable () -> Result<Value, IOMMUError>, onEnd: @escaping () -> Void
    ) -> Answer<Value> {
        let deferred = Deferred<Value>()
        let gate = gate
        executor.perform(key: key) {
            var count: eventfd_t = 0
            _ = eventfd_read(gate, &count)
            return work()
        } completion: { result in
            onEnd()
            deferred.settle(result)
        }
        return .later(deferred)
    }
}
