import IOMMU
import JSONRPC
import LinuxIO

/// Calls that wait for something to happen in their session: reads of empty fault and event queues.
package final class WaitList {
    /// Tries to answer the call; false: it has to wait on. With `isLast` it has to answer now.
    package typealias Attempt = (_ parked: ParkedCall, _ isLast: Bool) throws -> Bool

    private final class Wait {
        let context: ObjectIdentifier
        let attempt: Attempt
        var parked: ParkedCall?
        var timer: TimerID?

        init(context: ObjectIdentifier, attempt: @escaping Attempt) {
            self.context = context
            self.attempt = attempt
        }
    }

    private let loop: EventLoop
    private var waits: [UInt64: Wait] = [:]
    private var lastKey: UInt64 = 0
    /// Contexts in which something happened since the last turn.
    private var stirred: Set<ObjectIdentifier> = []

    package init(loop: EventLoop) { self.loop = loop }

    package var count: Int { waits.count }

    /// Parks the call until `attempt` answers it; after the time is up it is tried for the last time.
    func wait(_ call: Call, _ session: Session, milliseconds: UInt64, attempt: @escaping Attempt) -> Outcome {
        lastKey += 1
        let key = lastKey
        let wait = Wait(context: ObjectIdentifier(session.context), attempt: attempt)
        waits[key] = wait
        let parked = call.park { [weak self] in self?.forget(key) }
        wait.parked = parked
        wait.timer = loop.schedule(after: milliseconds &* 1_000_000) { [weak self] in
            self?.attempt(key, isLast: true)
        }
        return .later(parked)
    }

    /// Something happened in the context. Its calls are tried when the work in hand is done, since it may be in the
    /// middle of changing what they read.
    package func stir(_ context: ObjectIdentifier) {
        guard waits.values.contains(where: { $0.context == context }) else { return }
        guard stirred.insert(context).inserted, stirred.count == 1 else { return }
        loop.schedule(after: 0) { [weak self] in self?.retry() }
    }

    private func retry() {
        let contexts = stirred
        stirred.removeAll()
        // In the order of the calls: the first reader gets the first entries.
        for key in waits.keys.sorted() {
            guard let wait = waits[key], contexts.contains(wait.context) else { continue }
            attempt(key, isLast: false)
        }
    }

    private func attempt(_ key: UInt64, isLast: Bool) {
        guard let wait = waits[key], let parked = wait.parked else { return }
        do {
            guard try wait.attempt(parked, isLast) else { return }
            forget(key)
        } catch {
            forget(key)
            parked.fail(error)
        }
    }

    private func forget(_ key: UInt64) {
        guard let wait = waits.removeValue(forKey: key), let timer = wait.timer else { return }
        loop.cancel(timer)
    }
}
