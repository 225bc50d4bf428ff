import CLinux
import DequeModule
import Durability
import Glibc
import IOMMU
import LinuxIO
import Systemd

/// Files in the service manager's descriptor store, which outlive the daemon.
///
/// One file, one message, one name: a store gives back what it has in no order, and takes of several descriptors of
/// one message those that fit. It tells nobody that it is full or has dropped something: what is stored is counted
/// here, and refused in time. A second store of one open file is dropped, so each is opened anew if that is possible.
package final class StoredFiles: FileKeeping {
    let manager: any ServiceNotifying
    let loop: EventLoop
    /// Descriptors that the store takes; 0: there is none.
    package let capacity: Int
    /// Of those, what one user may have stored.
    package var perUser: Int
    /// Of what an earlier run has stored, by number.
    private var passed: [UInt64: SharedDescriptor]
    private var used: [UInt32: Int] = [:]
    private(set) var total = 0
    private var lastNumber: UInt64
    /// Address spaces of processes: the number of the first file, who pays, and how many sessions have it.
    private var spaces: [UInt64: (file: UInt64, uid: UInt32, sessions: Int)] = [:]
    /// Of what was passed, what somebody still wants.
    private var wanted: Set<UInt64> = []

    /// What is to be sent, in order; with descriptors where a file is stored.
    var outgoing = Deque<(text: String, file: SharedDescriptor?)>()
    /// Who waits for the service manager: those whose messages have been sent, and those before the next barrier.
    var (asked, unasked): ([Deferred<UInt64>], [Deferred<UInt64>]) = ([], [])
    var numbers: [ObjectIdentifier: UInt64] = [:]
    var barrier: (told: SharedDescriptor, watch: DescriptorWatch, deadline: TimerID)?
    var isRetrying = false
    /// What the journal has to forget before it may go.
    var removals: [String] = []
    /// What is done once that has gone.
    var afterRemovals: [() -> Void] = []

    static let retryNanoseconds: UInt64 = 2_000_000
    static let patience: UInt64 = 10_000_000_000
    private static let prefix = "iommud-"

    /// - Parameter passed: what the service manager has passed, by name.
    package init(
        manager: any ServiceNotifying, loop: EventLoop, capacity: Int, perUser: Int, passed: [String: SharedDescriptor]
    ) {
        (self.manager, self.loop, self.capacity, self.perUser) = (manager, loop, capacity, perUser)
        var known: [UInt64: SharedDescriptor] = [:]
        for (name, file) in passed { if let number = Self.number(name) { known[number] = file } }
        self.passed = known
        lastNumber = known.keys.max() ?? 0
        total = known.count
    }

    /// Whether a passed descriptor is one of these.
    package static func isName(_ name: String) -> Bool { number(name) != nil }

    private static func number(_ name: String) -> UInt64? {
        guard name.hasPrefix(prefix) else { return nil }
        return UInt64(name.dropFirst(prefix.count))
    }

    private static func name(_ number: UInt64) -> String { "\(prefix)\(number)" }

    /// Whether anything is kept at all.
    package var keepsFiles: Bool { capacity > 0 }
    /// Whether an earlier run has stored something.
    package var hasPassed: Bool { !passed.isEmpty }

    // MARK: Keeping

    /// Stores files; the answer comes when the service manager has them. `EDQUOT`, `EMFILE`; `EIO` later.
    package func keep(_ descriptors: [Int32], of uid: UInt32, anew: Bool) throws(IOMMUError) -> Answer<UInt64> {
        guard keepsFiles else { return .now(0) }
        try admit(descriptors.count, uid)
        let files: [SharedDescriptor]
        do throws(IOMMUError) {
            files = try descriptors.map { number throws(IOMMUError) in try Self.copy(number, anew: anew) }
        } catch {
            dismiss(descriptors.count, uid)
            throw error
        }
        let first = lastNumber + 1
        lastNumber += UInt64(descriptors.count)
        for (index, file) in files.enumerated() {
            outgoing.append(("FDSTORE=1\nFDPOLL=0\nFDNAME=\(Self.name(first + UInt64(index)))", file))
        }
        let stored = Deferred<UInt64>()
        unasked.append(stored)
        numbers[ObjectIdentifier(stored)] = first
        loop.later { [weak self] in self?.goOn() }
        return .later(
            stored.then { [weak self] result in
                guard case .failure = result, let self else { return }
                drop(first, count: descriptors.count, of: uid)
                sendRemovals()
            })
    }

    /// Another open file of the same, so that the store does not take it for one that it has.
    private static func copy(_ number: Int32, anew: Bool) throws(IOMMUError) -> SharedDescriptor {
        var copy = anew ? clinux_reopen(number) : -1
        // A process's memory cannot be opened anew, and is stored once for all sessions.
        if copy < 0 { copy = clinux_duplicate(number) }
        guard copy >= 0 else { throw .noDescriptors }
        return SharedDescriptor(Descriptor(adopting: copy))
    }

    private func admit(_ count: Int, _ uid: UInt32) throws(IOMMUError) {
        let held = used[uid, default: 0]
        guard held + count <= perUser else {
            throw Self.tooMany("user \(uid)", perUser, key: "limits.stored_descriptors_per_uid")
        }
        guard total + count <= capacity else {
            throw Self.tooMany("all users together", capacity, key: "FileDescriptorStoreMax")
        }
        used[uid] = held + count
        total += count
    }

    private func dismiss(_ count: Int, _ uid: UInt32) {
        used[uid] = used[uid].flatMap { $0 > count ? $0 - count : nil }
        total -= min(total, count)
    }

    private static func tooMany(_ holder: String, _ limit: Int, key: String) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .quotaExceeded, "\(holder) would have more than \(limit) descriptors stored",
            hint: "close memory objects or address spaces of named sessions, or ask the administrator to raise \(key)",
            ["key": .text(key), "limit": .number(UInt64(limit))])
    }

    /// They go out of the store once the journal has been written.
    package func drop(_ file: UInt64, count: Int, of uid: UInt32) {
        guard file != 0 else { return }
        dismiss(count, uid)
        for number in file..<file + UInt64(count) { removals.append(Self.name(number)) }
    }

    /// Calls `body` when the service manager has let go of what was dropped so far, or does not answer.
    package func whenDropped(_ body: @escaping () -> Void) {
        guard keepsFiles else { return loop.later(body) }
        afterRemovals.append(body)
        // What the journal has forgotten already goes without another turn's end.
        if removals.isEmpty { tellOfRemovals() }
    }

    // MARK: Address spaces

    /// Stores the files of an address space, once for all sessions.
    package func keep(
        space: UInt64, _ descriptors: [Int32], of uid: UInt32
    ) throws(IOMMUError) -> Answer<UInt64> {
        if let known = spaces[space] {
            spaces[space]?.sessions += 1
            return .now(known.file)
        }
        switch try keep(descriptors, of: uid, anew: true) {
        case .now(let file):
            spaces[space] = (file, uid, 1)
            return .now(file)
        case .later(let deferred):
            return .later(
                deferred.then { [weak self] result in
                    guard let self, case .success(let file) = result else { return }
                    // Two sessions may have opened it at the same time.
                    if spaces[space] == nil { spaces[space] = (file, uid, 0) }
                    spaces[space]?.sessions += 1
                })
        }
    }

    /// They go with the last session that has it.
    package func drop(space: UInt64) {
        guard let known = spaces[space] else { return }
        spaces[space]?.sessions -= 1
        guard known.sessions <= 1 else { return }
        spaces[space] = nil
        drop(known.file, count: 2, of: known.uid)
    }

    /// Of the first file of an address space; 0: none.
    package func file(ofSpace space: UInt64) -> UInt64 { spaces[space]?.file ?? 0 }

    // MARK: After a restart

    /// It stays in the store.
    package func restored(file: UInt64, of uid: UInt32) {
        wanted.insert(file)
        used[uid, default: 0] += 1
    }

    /// They stay in the store, once for all sessions.
    package func restored(space: UInt64, file: UInt64, of uid: UInt32) {
        if spaces[space] != nil {
            spaces[space]?.sessions += 1
            return
        }
        let isThere = file != 0 && passed[file] != nil
        spaces[space] = (isThere ? file : 0, uid, 1)
        guard isThere else { return }
        wanted.formUnion([file, file + 1])
        used[uid, default: 0] += 2
    }

    /// Numbers up to this one mean something in the journal.
    func skipNumbers(to number: UInt64) { lastNumber = max(lastNumber, number & (1 << 62 - 1)) }

    /// What nobody wants goes out of the store. - Returns: how many descriptors.
    package func forgetUnwanted() -> Int {
        let unwanted = passed.keys.filter { !wanted.contains($0) }
        total -= unwanted.count
        passed = [:]
        wanted = []
        guard !unwanted.isEmpty, keepsFiles else { return unwanted.count }
        do throws(SystemError) {
            for number in unwanted.sorted() { try remove(number) }
            // Nobody is served yet: it is waited for, though not for ever.
            _ = try manager.barrier(timeoutMicroseconds: Self.patience / 1000)
        } catch {
            // They are still there, and unwanted at the next start.
            total += unwanted.count
        }
        return unwanted.count
    }

    private func remove(_ number: UInt64) throws(SystemError) {
        let message = "FDSTOREREMOVE=1\nFDNAME=\(Self.name(number))"
        do throws(SystemError) { try manager.send(message, descriptors: []) } catch {
            // It is behind: once it has caught up there is room.
            guard error.errno == EAGAIN else { throw error }
            _ = try manager.barrier(timeoutMicroseconds: Self.patience / 1000)
            try manager.send(message, descriptors: [])
        }
    }
}

extension StoredFiles: FileGiving {
    /// A copy of what an earlier run has stored; nil: it was lost.
    package func give(_ file: UInt64) -> Descriptor? {
        guard let kept = passed[file] else { return nil }
        do throws(SystemError) { return try kept.duplicate() } catch { return nil }
    }
}
