import Durability
import Glibc
import LinuxIO

/// A journal in memory, which outlives the daemon that writes it, and can fail or have the daemon end at any call.
final class MemoryMedium: JournalMedium {
    /// What becomes of a call.
    enum Fate {
        case success
        case failure(Int32)
        /// The daemon ends before it, or after it.
        case deathBefore, deathAfter
        /// The daemon ends in the middle of a write, of which so much has been done.
        case deathWithin(UInt64)
    }

    /// Content of the file in force; nil: none.
    var content: [UInt8]?
    private var next: [UInt8] = []
    /// Room that there is for a file.
    var room = UInt64.max
    /// Asked at each call that changes something.
    var fate: () -> Fate = { .success }
    /// The daemon has ended: nothing that it does counts.
    private(set) var isDead = false
    /// Calls that changed something.
    private(set) var calls = 0
    /// Writes to the file in force.
    private(set) var writes = 0

    /// Another daemon has it.
    func revive() { (isDead, fate) = (false, { .success }) }

    /// The daemon ends now.
    func die() { isDead = true }

    private func call(_ body: () -> Void) throws(SystemError) {
        guard !isDead else { throw SystemError(errno: EIO, "go on") }
        calls += 1
        switch fate() {
        case .success: body()
        case .failure(let code): throw SystemError(errno: code, "use the medium")
        case .deathBefore: isDead = true
        case .deathAfter, .deathWithin:
            body()
            isDead = true
        }
        if isDead { throw SystemError(errno: EIO, "go on") }
    }

    func load() throws(SystemError) -> [UInt8]? { content }

    func keepRoom(_ file: JournalFile, upTo end: UInt64) throws(SystemError) {
        guard end <= room else { throw SystemError(errno: ENOSPC, "keep room") }
        try call {}
    }

    func write(_ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at place: UInt64) throws(SystemError) {
        guard !isDead else { throw SystemError(errno: EIO, "go on") }
        calls += 1
        let fate = fate()
        switch fate {
        case .success, .deathAfter: append(file, bytes, at: place)
        case .failure(let code): throw SystemError(errno: code, "write")
        case .deathBefore: break
        case .deathWithin(let part):
            append(file, UnsafeRawBufferPointer(rebasing: bytes.prefix(Int(part % UInt64(bytes.count + 1)))), at: place)
        }
        if case .success = fate { return }
        isDead = true
        throw SystemError(errno: EIO, "go on")
    }

    private func append(_ file: JournalFile, _ bytes: UnsafeRawBufferPointer, at place: UInt64) {
        guard file == .inForce else {
            next.replaceSubrange(Int(place)..., with: bytes)
            return
        }
        writes += 1
        content?.replaceSubrange(Int(place)..., with: bytes)
    }

    func begin() throws(SystemError) { try call { next = [] } }
    func publish() throws(SystemError) { try call { content = next } }
    func abandon() {}
    func cut(at end: UInt64) throws(SystemError) {
        try call { content?.removeSubrange(Int(end)...) }
    }
    func putAside() throws(SystemError) { try call { content = nil } }
}
