import IOMMU
import JSONRPC
import LinuxIO

/// Calls that wait for something to happen in their session: reads of empty fault and event queues.
package final class WaitList {
    /// Tries to answer the call; false: it has to wait on. With `isLast` it has to answer now.
    package typealias Attempt = (_ parked: ParkedCall, _ isLast: Bool) throws -> Bool

    private final class Wait {
        let context: ContextID
        let attempt: Attempt
        var parked: ParkedCall?
        var timer: TimerID?

        init(context: ContextID, attempt: @escaping Attempt) {
            self.context = context
            self.attempt = attempt
        }
    }

    private let loop: EventLoop
    /// Those of each context, in the order of the calls. Few wait in one: each connection has one call.
    private var waits: [ContextID: [Wait]] = [:]
    /// Contexts in which something happened since the last turn.
    private var stirred: Set<ContextID> = []

    package private(set) var count = 0

    package init(loop: EventLoop) { self.loop = loop }

    /// Parks the call until `attempt` answers it; after the time is up it is tried for the last time.
    func wait(_ call: Call, _ session: Session, milliseconds: UInt64, attempt: @escaping Attempt) -> Outcome {
        let wait = Wait(context: session.id, attempt: attempt)
        waits[session.id, default: []].append(wait)
        count += 1
        let parked = call.park { [weak self] in self?.forget(wait) }
        wait.parked = parked
        wait.timer = loop.schedule(after: milliseconds &* 1_000_000) { [weak self] in
            self?.attempt(wait, isLast: true)
        }
        return .later(parked)
    }

    /// Something happened in the context. Its calls are tried when the work in hand is done, since it may be in the
    /// middle of changing what they read.
    package func stir(_ context: ContextID) {
        guard count > 0, waits[context] != nil else { return }
        guard stirred.insert(context).inserted, stirred.count == 1 else { return }
        loop.later { [weak self] in self?.retry() }
    }

    private func retry() {
        let contexts = stirred
        stirred.removeAll()
        for context in contexts {
            // In the order of the calls: the first reader gets the first entries.
            for wait in waits[context] ?? [] { attempt(wait, isLast: false) }
        }
    }

    private func attempt(_ wait: Wait, isLast: Bool) {
        guard let parked = wait.parked else { return }
        do {
            guard try wait.attempt(parked, isLast) else { return }
            forget(wait)
        } catch {
            forget(wait)
            parked.fail(error)
        }
    }

    private func forget(_ wait: Wait) {
        guard wait.parked != nil else { return }
        wait.parked = nil
        count -= 1
        waits[wait.context]?.removeAll { $0 === wait }
        if waits[wait.context]?.isEmpty == true { waits[wait.context] = nil }
        if let timer = wait.timer { loop.cancel(timer) }
    }
}
