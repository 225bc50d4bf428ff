import Durability
import IOMMU
import LinuxIO

/// Writing the state as a whole, session by session; each waits for its turn and while it is written, others go on.
extension StateKeeper {
    /// What comes before all sessions: devices that are not as configured.
    private var records: [Record] {
        removed.map { .deviceRemoved($0) } + added.map { .deviceAdded($0.description, given: $0.given) }
    }

    func beginCompaction() {
        guard let journal, !journal.isCompacting else { return }
        do throws(SystemError) { try journal.beginCompaction(records) } catch {
            return log.warning("the journal cannot be made smaller: \(error)")
        }
        toCompact = contexts.keys.sorted()
        compactNext()
    }

    /// All of it before anything is served.
    func compactAtOnce() {
        guard let journal else { return }
        do throws(SystemError) { try journal.beginCompaction(records) } catch {
            return log.warning("the journal cannot be made smaller: \(error)")
        }
        for serial in contexts.keys.sorted() {
            guard let writing = begin(serial) else { continue }
            var budget = TurnBudget(until: .max)
            while !write(writing, &budget) { progress() }
        }
        _ = journal.endCompaction()
    }

    private func compactNext() {
        guard let journal, journal.isCompacting else { return }
        guard let serial = toCompact.first else {
            if !journal.endCompaction() { log.warning("the journal cannot be made smaller") }
            return
        }
        toCompact.removeFirst()
        guard let session = service.sessions.session(ContextID(serial)) else { return compactNext() }
        session.whenIdle { [weak self] in self?.compact(session) }
    }

    private func compact(_ session: Session) {
        guard let writing = begin(session.serial) else { return loop.later { [weak self] in self?.compactNext() } }
        session.begin()
        contexts[session.serial]?.isBeingWritten = true
        loop.inPieces(for: session.owner.uid) { [weak self] budget in
            guard let self else { return true }
            guard write(writing, &budget) else { return false }
            contexts[session.serial]?.isBeingWritten = false
            session.end()
            compactNext()
            return true
        }
    }

    /// One session on its way into the new journal.
    private final class Writing {
        let serial: UInt64
        let walk: KeptWalk

        init(_ serial: UInt64, _ walk: KeptWalk) { (self.serial, self.walk) = (serial, walk) }
    }

    /// nil: it has been closed.
    private func begin(_ serial: UInt64) -> Writing? {
        guard let context = contexts[serial], let session = service.sessions.session(ContextID(serial)),
            let name = session.name, let journal
        else { return nil }
        let facts = SessionFacts(serial: serial, name: name, owner: session.owner)
        guard journal.compact([.sessionMade(facts)], of: serial, isLast: false) else { return nil }
        return Writing(serial, context.state.walk(files: context))
    }

    /// - Returns: whether all of it is written, or none is needed any more.
    private func write(_ writing: Writing, _ budget: inout TurnBudget) -> Bool {
        guard let journal, journal.isCompacting else { return true }
        var records: [Record] = []
        let isLast = writing.walk.goOn(&budget) { change, given in
            records.append(.change(session: writing.serial, change, given: given))
        }
        return !journal.compact(records, of: writing.serial, isLast: isLast) || isLast
    }
}
