import Glibc
import IOMMU
import LinuxIO

/// Runs a backend's blocking work when a test says so, on the test's own thread.
package final class StepExecutor: WorkExecutor {
    private var work: [() -> Void] = []

    /// Without work.
    package init() {}

    /// Keeps the work, and its completion, for a later step.
    package func perform<Value: Sendable>(
        key: UInt64, _ job: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        work.append { completion(job()) }
    }

    /// Keeps it for a later step.
    package func later(_ body: @escaping () -> Void) { work.append(body) }

    /// `ENOSYS`: there is no loop to watch a descriptor.
    package func watch(
        _ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void
    ) throws(SystemError) -> DescriptorWatch {
        throw SystemError(errno: ENOSYS, "watch a descriptor without a loop")
    }

    /// Nothing is left to do.
    package var isIdle: Bool { work.isEmpty }

    /// Does one piece of work and its completion; false if there is none.
    @discardableResult
    package func step() -> Bool {
        guard !work.isEmpty else { return false }
        work.removeFirst()()
        return true
    }

    /// Does everything, also what comes of it; bounded, so that a livelock fails the test.
    package func drain() {
        var steps = 0
        while steps < 100_000, step() { steps += 1 }
        assert(steps < 100_000)
    }
}
