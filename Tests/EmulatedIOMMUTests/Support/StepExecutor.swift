import Glibc
import IOMMU
import LinuxIO

/// Runs work when a test says so, on the test's own thread.
final class StepExecutor: WorkExecutor {
    private var work: [() -> Void] = []

    func perform<Value: Sendable>(
        key: UInt64, _ job: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        work.append { completion(job()) }
    }

    func later(_ body: @escaping () -> Void) { work.append(body) }

    func watch(_ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void) throws(SystemError) -> DescriptorWatch
    {
        throw SystemError(errno: ENOSYS, "watch a descriptor without a loop")
    }

    var isIdle: Bool { work.isEmpty }

    /// One piece of work and its completion; false if there is none.
    @discardableResult
    func step() -> Bool {
        guard !work.isEmpty else { return false }
        work.removeFirst()()
        return true
    }

    /// Everything, also what comes of it; bounded, so that a livelock fails the test.
    func drain() {
        var steps = 0
        while steps < 100_000, step() { steps += 1 }
        assert(steps < 100_000)
    }
}
