import Durability
import IOMMU
import JSONRPC
import LinuxIO
import Logging

/// What outlives the daemon: the journal of its named sessions, and the files that they need.
package final class StateKeeper {
    /// Where the journal is; nil: it cannot be anywhere.
    let medium: (any JournalMedium)?
    /// The directory that it is in, if it is in one.
    var directory: StateDirectory? { medium as? StateDirectory }
    let files: StoredFiles
    let log: Logger
    let loop: EventLoop
    unowned let service: Service
    /// nil: nothing is written down.
    var journal: Journal?
    /// The journal cannot be read: nothing is served.
    private(set) var damage: JournalDamage?
    /// What stands before the contexts of named sessions.
    var contexts: [UInt64: KeptContext] = [:]
    /// Devices that have come and gone since the start with the configuration's, in order.
    var added: [(description: DeviceDescription, given: [Ledger.Entry])] = []
    var removed: [String] = []
    /// Sessions that are still to be written as a whole.
    var toCompact: [UInt64] = []
    /// Told of what takes long before the daemon is ready.
    var progress: () -> Void = {}

    /// - Parameters:
    ///   - medium: where the journal is; nil: nowhere.
    ///   - files: keeps descriptors.
    package init(
        _ service: Service, medium: (any JournalMedium)?, files: StoredFiles, loop: EventLoop, log: Logger
    ) {
        (self.service, self.medium, self.files) = (service, medium, files)
        (self.loop, self.log) = (loop, log)
    }

    /// What outlives the daemon of sessions that are made now.
    package var durable: Durable {
        guard journal != nil, damage == nil else { return .none }
        return files.keepsFiles ? .full : .journal
    }

    /// A random number that is another one where nothing was found of before.
    package var generation: UInt64 { journal?.head.generation ?? ownGeneration }
    private let ownGeneration = UInt64.random(in: 1...UInt64(Int64.max))
    /// How often the daemon has started with this state.
    package var starts: UInt32 { journal?.starts ?? 1 }

    // MARK: The end of a turn

    /// Before replies leave: writes down what has changed. - Returns: false if nobody may be told of it.
    @inline(__always)
    package func flush() -> Bool {
        guard let journal else { return true }
        guard journal.flush() else { return cannotWrite() }
        files.sendRemovals()
        if journal.isLarge, !journal.isCompacting { beginCompaction() }
        return true
    }

    private var saidUnwritable = false

    @inline(never)
    private func cannotWrite() -> Bool {
        if !saidUnwritable {
            saidUnwritable = true
            log.critical("the journal cannot be written: named sessions are not changed until it can")
            retryLater()
        }
        return false
    }

    /// A journal that could not be written is written anew.
    private func retryLater() {
        loop.schedule(after: 1_000_000_000) { [weak self] in
            guard let self, let journal, journal.isBroken else { return }
            if !journal.isCompacting { beginCompaction() }
            if journal.isBroken { retryLater() } else { saidUnwritable = false }
        }
    }

    // MARK: A journal that cannot be read

    /// - Parameter lastSerial: the highest number of a session that is known to be in it.
    func close(_ damage: JournalDamage, lastSerial: UInt64) {
        self.damage = damage
        service.sessions.skipSerials(to: lastSerial + 1 << 40)
        service.dispatcher?.refusesAll = { connection, method in
            guard connection.id != Service.probeID, "\(method)" != "state.discard" else { return nil }
            return Self.refusal(of: damage).rpcError
        }
    }

    static func refusal(of damage: JournalDamage) -> IOMMUError {
        IOMMUError(
            .EIO, .stateCorrupt,
            "what the daemon has stored \(damage.text), and nothing is served before that is settled",
            hint: "repair the journal and reload the daemon, or give up all named sessions: iommuctl state discard",
            ["offset": .number(UInt64(damage.offset))])
    }

    /// What the service manager shows; nil: nothing is wrong.
    package var status: String? {
        damage.map { "closed: the journal \($0.text); repair it and reload, or iommuctl state discard" }
    }

    /// Reads the journal again that could not be read.
    package func retry() {
        guard damage != nil else { return }
        open()
    }

    /// Gives up what was stored, and serves.
    ///
    /// - Throws: `EINVAL` where the state can be read, `EIO` where the journal cannot be put aside.
    package func discard() throws(IOMMUError) {
        guard damage != nil, let medium else { throw Self.intact }
        do throws(SystemError) { try medium.putAside() } catch { throw Journal.unwritable }
        log.warning("the journal has been put aside, and all named sessions with it")
        open()
    }

    // MARK: What it says

    /// The name of the last good configuration, beside the journal.
    static let configurationName = "configuration.toml"

    /// Keeps the configuration that is in force, for a start with one that cannot be used.
    func keep(configuration text: String?) {
        guard let directory else { return }
        do throws(SystemError) { try directory.keep(text ?? "", as: Self.configurationName) } catch {
            log.warning("the configuration is not kept: \(error)", metadata: ["ERRNO": "\(error.errno)"])
        }
    }

    /// What is promised of named sessions, in a sentence of the log.
    package var promise: String {
        switch durable {
        case .full: "named sessions outlive the daemon"
        case .journal:
            "named sessions outlive the daemon without their memory: no service manager keeps its descriptors"
        case .none where damage != nil: "nothing is served: \(status ?? "")"
        case .none: "named sessions end with the daemon"
        }
    }

    static var intact: IOMMUError {
        IOMMUError(
            .EINVAL, .stateIntact, "what the daemon has stored can be read, and is in use",
            hint: "close what is not needed with session.close")
    }

    /// Takes over what can be changed while running.
    func apply(_ limits: LimitsConfiguration) { files.perUser = limits.storedDescriptors(of: files.capacity) }

    /// The journal can be used, or there is none.
    func opened() {
        damage = nil
        service.dispatcher?.refusesAll = nil
    }
}

extension StateKeeper: SessionKeeping {
    /// Written down, and something put before its context.
    package func made(_ facts: SessionFacts, _ context: any IOMMUContext) throws(IOMMUError) -> any IOMMUContext {
        guard let journal, let state = context.keptState else { return context }
        try journal.promise(KeptContext.shortRecord)
        journal.includeNew(session: facts.serial)
        journal.append(promised: KeptContext.shortRecord, .sessionMade(facts))
        return stand(before: context, state, journal, facts)
    }

    func stand(
        before context: any IOMMUContext, _ state: any KeptState, _ journal: Journal, _ facts: SessionFacts
    ) -> KeptContext {
        let kept = KeptContext(
            context, state: state, journal: journal, files: files, serial: facts.serial, uid: facts.owner.uid)
        contexts[facts.serial] = kept
        return kept
    }

    /// Written down.
    package func closed(_ session: Session) {
        guard contexts.removeValue(forKey: session.serial) != nil else { return }
        journal?.append(.sessionClosed(session.serial))
    }

    /// The files of named sessions stay where they are.
    package func daemonEnds() {
        for context in contexts.values { context.outlivesDaemon = true }
    }

    // MARK: Devices

    /// Has room kept for a device that is to be added or removed.
    func promiseDevice() throws(IOMMUError) { try journal?.promise(Self.deviceRecord) }

    /// More than the record of a device has: names, StreamIDs, regions, algorithms.
    private static let deviceRecord = 32 << 10

    /// `device.add`, written down with the group that it was given.
    func addDevice(_ description: DeviceDescription, _ hotplug: any DeviceHotplug) throws(IOMMUError) {
        guard let journal, let ledger = service.backend.kept?.ledger else { return try hotplug.addDevice(description) }
        try promiseDevice()
        let page = Ledger.Page()
        do throws(IOMMUError) {
            try ledger.within(page) { () throws(IOMMUError) in try hotplug.addDevice(description) }
        } catch {
            journal.release(Self.deviceRecord)
            throw error
        }
        added.append((description, page.entries))
        journal.append(promised: Self.deviceRecord, .deviceAdded(description, given: page.entries))
    }

    /// `device.remove`, written down.
    func removeDevice(named name: String, _ hotplug: any DeviceHotplug) throws(IOMMUError) {
        guard let journal else { return try hotplug.removeDevice(named: name) }
        try promiseDevice()
        do throws(IOMMUError) { try hotplug.removeDevice(named: name) } catch {
            journal.release(Self.deviceRecord)
            throw error
        }
        forget(device: name)
        journal.append(promised: Self.deviceRecord, .deviceRemoved(name))
    }

    func forget(device name: String) {
        if let index = added.firstIndex(where: { $0.description.name == name }) {
            added.remove(at: index)
        } else {
            removed.append(name)
        }
    }
}
