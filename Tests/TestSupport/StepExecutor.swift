import Glibc
import IOMMU
import LinuxIO

/// Runs a backend's blocking work when a test says so, on the test's own thread.
package final class StepExecutor: WorkExecutor {
    private var work: [Work] = []
    /// What may block waits until this is false again; the rest goes on.
    package var isHeld = false

    private struct Work {
        let mayBlock: Bool
        let body: () -> Void
    }

    /// What a piece of long work may take: little, so that it is cut wherever it can be.
    package var unitsPerPiece = 16

    /// Without work.
    package init() {}

    /// Keeps the work, and its completion, for a later step.
    package func perform<Value: Sendable>(
        key: UInt64, _ job: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    ) {
        work.append(Work(mayBlock: true) { completion(job()) })
    }

    /// Keeps it for a later step.
    package func later(_ body: @escaping () -> Void) { work.append(Work(mayBlock: false, body: body)) }

    /// Each piece is a step.
    package func inPieces(for user: UInt32, _ piece: @escaping (_ budget: inout TurnBudget) -> Bool) {
        later { [self] in
            var budget = TurnBudget(units: unitsPerPiece)
            if !piece(&budget) { inPieces(for: user, piece) }
        }
    }

    /// `ENOSYS`: there is no loop to watch a descriptor.
    package func watch(
        _ descriptor: borrowing Descriptor, _ ready: @escaping () -> Void
    ) throws(SystemError) -> DescriptorWatch {
        throw SystemError(errno: ENOSYS, "watch a descriptor without a loop")
    }

    /// Nothing is left to do.
    package var isIdle: Bool { work.isEmpty }

    /// Does one piece of work and its completion; false if there is none that need not wait.
    @discardableResult
    package func step() -> Bool { stepFirst { !isHeld || !$0.mayBlock } }

    /// Does one piece of work that waits; false if there is none.
    package func releaseOne() -> Bool { stepFirst(where: \.mayBlock) }

    private func stepFirst(where isWanted: (Work) -> Bool) -> Bool {
        guard let index = work.firstIndex(where: isWanted) else { return false }
        work.remove(at: index).body()
        return true
    }

    /// Does everything, also what comes of it; bounded, so that a livelock fails the test.
    package func drain() {
        var steps = 0
        while steps < 100_000, step() { steps += 1 }
        assert(steps < 100_000)
    }
}
