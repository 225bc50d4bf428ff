import Durability
import IOMMU
import LinuxIO

/// Making again what was there before.
extension StateKeeper {
    /// Reads the journal, and makes again what it says; or serves nothing where it cannot be read.
    ///
    /// - Parameter progress: called now and then.
    package func start(progress: @escaping () -> Void) {
        self.progress = progress
        open()
    }

    func open() {
        guard let medium, let kept = service.backend.kept, files.keepsFiles || !kept.needsFiles else { return }
        do throws(SystemError) {
            guard let bytes = try medium.load() else { return try begin(medium, kept, nil) }
            var facts = JournalFacts()
            switch facts.read(bytes) {
            case .failure(let damage):
                log.critical("the journal \(damage.text): nothing is served", metadata: ["offset": "\(damage.offset)"])
                close(damage, lastSerial: facts.lastSerial)
            case .success(let reader) where reader.head.boot != JournalHead.currentBoot:
                try begin(medium, kept, "it is of an earlier run of the system, which has taken all memory with it")
            case .success(let reader) where reader.head.backend != service.backend.kind:
                try begin(medium, kept, "it is of the \(reader.head.backend) backend")
            case .success(let reader): try goOn(medium, kept, bytes, reader, starts: facts.starts)
            }
        } catch {
            log.error("named sessions do not outlive the daemon: \(error)", metadata: ["ERRNO": "\(error.errno)"])
            opened()
        }
    }

    private func begin(
        _ medium: any JournalMedium, _ kept: any KeptBackend, _ why: String?
    ) throws(SystemError) {
        if let why { log.warning("the journal is begun anew: \(why)") }
        journal = try Journal(beginningIn: medium, .fresh(backend: service.backend.kind))
        ready(kept)
    }

    private func goOn(
        _ medium: any JournalMedium, _ kept: any KeptBackend, _ bytes: [UInt8], _ read: JournalReader, starts: UInt32
    ) throws(SystemError) {
        guard var reader = try? JournalReader(bytes) else { return }
        let journal = try Journal(goingOnIn: medium, read, starts: starts)
        self.journal = journal
        let replay = Replay(self, journal, kept)
        kept.ledger.isRestoring = true
        service.sessions.grantAll(true)
        while let record = try? reader.next() { replay.make(record) }
        replay.settle()
        service.sessions.grantAll(false)
        kept.ledger.isRestoring = false
        ready(kept)
        journal.append(.started)
        // What is lost is not written down one by one.
        if replay.hasLost || journal.isLarge || read.version < JournalHead.version { compactAtOnce() }
        _ = journal.flush()
        files.sendRemovals()
    }

    /// What nobody wants goes before anything else is done, since it can keep objects of a kernel alive.
    fileprivate func forgetUnwanted() {
        let unwanted = files.forgetUnwanted()
        guard unwanted > 0 else { return }
        log.log(.descriptorsDropped, level: .warning, "\(unwanted) stored descriptors belong to nothing any more")
    }

    private func ready(_ kept: any KeptBackend) {
        kept.ledger.onMove = { [weak self] smmu, from, to in
            guard let self, !contexts.isEmpty else { return }
            journal?.append(.moved(smmu: smmu, from: from, to: to))
        }
        forgetUnwanted()
        for note in kept.takeNotes() { log.notice("\(note)") }
        service.watchAddressSpaces()
        opened()
    }
}

/// What is known of a journal once all of it has been read, before anything is made of it.
private struct JournalFacts {
    /// Starts that it tells of since its head.
    var starts: UInt32 = 0
    /// The highest number of a session.
    var lastSerial: UInt64 = 0

    mutating func read(_ bytes: [UInt8]) -> Result<JournalReader, JournalDamage> {
        do throws(JournalDamage) {
            var reader = try JournalReader(bytes)
            while let record = try reader.next() {
                if case .started = record { starts += 1 }
                if case .sessionMade(let facts) = record { lastSerial = max(lastSerial, facts.serial) }
            }
            return .success(reader)
        } catch {
            return .failure(error)
        }
    }
}

/// Makes a journal's records again, one after the other.
private final class Replay {
    private let keeper: StateKeeper
    private let journal: Journal
    private let kept: any KeptBackend
    /// Sessions that have lost something, and what they were refused first.
    private var losses: [UInt64: (count: Int, first: String)] = [:]
    private var sessions: [UInt64: Session] = [:]
    /// What a kernel was about to do when the daemon ended, by session.
    private var begun: [UInt64: Change] = [:]
    private var lastProgress = MonotonicClock.nanoseconds
    private static let progressNanoseconds: UInt64 = 2_000_000_000

    init(_ keeper: StateKeeper, _ journal: Journal, _ kept: any KeptBackend) {
        (self.keeper, self.journal, self.kept) = (keeper, journal, kept)
    }

    var hasLost: Bool { !losses.isEmpty }

    func make(_ record: Record) {
        if MonotonicClock.nanoseconds &- lastProgress > Self.progressNanoseconds {
            lastProgress = MonotonicClock.nanoseconds
            keeper.progress()
        }
        switch record {
        case .started: break
        case .sessionMade(let facts): make(facts)
        case .begun(let serial, let change): begun[serial] = change
        case .withdrawn(let serial): begun[serial] = nil
        case .sessionClosed(let serial):
            (losses[serial], begun[serial]) = (nil, nil)
            guard let session = sessions.removeValue(forKey: serial) else { return }
            // Its files have gone long ago, or go with what nobody wants.
            keeper.contexts.removeValue(forKey: serial)?.outlivesDaemon = true
            keeper.service.sessions.forgetRestored(session)
        case .change(let serial, let change, let given):
            begun[serial] = nil
            make(change, given, in: serial)
        case .deviceAdded, .deviceRemoved: makeDevice(record)
        case .moved(let smmu, let from, let to): kept.restoreMove(smmu: smmu, from: from, to: to)
        }
    }

    private func make(_ facts: SessionFacts) {
        guard sessions[facts.serial] == nil else { return }
        let restored = keeper.service.sessions.restore(facts) { [keeper, journal] context in
            guard let state = context.keptState else { return context }
            return keeper.stand(before: context, state, journal, facts)
        }
        guard let restored else { return lose(facts.serial, "the name \(facts.name) is taken") }
        sessions[facts.serial] = restored
    }

    private func make(_ change: Change, _ given: [Ledger.Entry], in serial: UInt64) {
        guard let context = keeper.contexts[serial] else { return lose(serial, "there is no such session") }
        do throws(IOMMUError) {
            if let last = change.lastFile { keeper.files.skipNumbers(to: last) }
            for entry in given where entry.kind == .file { keeper.files.skipNumbers(to: entry.value) }
            if try !context.restore(change, given: given, keeper.files) { lose(serial, "an id or a tag is taken") }
        } catch {
            lose(serial, error.message)
        }
    }

    private func makeDevice(_ record: Record) {
        guard let hotplug = keeper.service.backend.deviceHotplug else { return }
        do throws(IOMMUError) {
            switch record {
            case .deviceAdded(let description, let given):
                let page = Ledger.Page(wanted: given)
                try kept.ledger.within(page) { () throws(IOMMUError) in try hotplug.addDevice(description) }
                keeper.added.append((description, page.entries))
            case .deviceRemoved(let name):
                try hotplug.removeDevice(named: name)
                keeper.forget(device: name)
            default: break
            }
        } catch {
            keeper.log.warning("a device that had come or gone is as configured now: \(error.message)")
        }
    }

    private func lose(_ serial: UInt64, _ why: String) {
        losses[serial] = losses[serial].map { ($0.count + 1, $0.first) } ?? (1, why)
    }

    func settle() {
        for context in keeper.contexts.values { context.claimFiles() }
        keeper.forgetUnwanted()
        for (serial, context) in keeper.contexts.sorted(by: { $0.key < $1.key }) {
            let gone = context.settle(begun[serial])
            if !gone.isEmpty {
                lose(serial, "memory objects \(gone.map(String.init).joined(separator: ", ")) have lost their memory")
            }
            context.state.apply(keeper.service.sessions.limits.context)
        }
        for (serial, loss) in losses.sorted(by: { $0.key < $1.key }) {
            let name = sessions[serial].map { "session \($0.label) of user \($0.owner.uid)" } ?? "a session"
            keeper.log.log(
                .stateLost, level: .warning, "\(name) is not as it was: \(loss.first)",
                ["session": "\(sessions[serial]?.label ?? "")", "count": "\(loss.count)"])
        }
    }
}

extension Change {
    /// The highest number of a file that it names.
    fileprivate var lastFile: UInt64? {
        switch self {
        case .addMemory(let facts): facts.file
        case .openMM(let facts): facts.file == 0 ? nil : facts.file &+ 1
        default: nil
        }
    }
}
