import Glibc
import LinuxIO
import ServiceTestSupport
import Synchronization
import Systemd

/// A service manager without a process: it stores descriptors, and can be behind, or not be there at all.
final class PlayedManager: ServiceNotifying, @unchecked Sendable {  // used on the test's thread only
    let store: PlayedStore
    /// Messages that are sent before it is dead; nil: it lives.
    var messagesLeft: Int?
    /// Called when the daemon ends because of that.
    var onDeath: () -> Void = {}
    /// What sending fails with.
    var refusal: Int32?
    /// How many messages fail so before one does not.
    var refusals = 0
    /// It does not come to barriers.
    var holdsBarriers = false
    private var barriers: [Int32] = []
    private(set) var sent: [String] = []
    /// The daemon has ended: what it sends comes nowhere.
    var isDead = false

    init(capacity: Int = 64) { store = PlayedStore(capacity: capacity) }

    func send(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool {
        try sendAtOnce(message, descriptors: descriptors)
    }

    func sendAtOnce(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool {
        if let left = messagesLeft {
            messagesLeft = left - 1
            if left <= 0 {
                isDead = true
                onDeath()
            }
        }
        guard !isDead else { return true }
        if let refusal, refusals > 0 {
            refusals -= 1
            throw SystemError(errno: refusal, "send")
        }
        sent.append(message)
        if store.take(message, descriptors), holdsBarriers { barriers.append(dup(descriptors[0])) }
        return true
    }

    func beginBarrier() throws(SystemError) -> Descriptor? {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .current("pipe") }
        defer { close(ends[1]) }
        if isDead { return Descriptor(adopting: ends[0]) }
        let told = Descriptor(adopting: ends[0])
        _ = try sendAtOnce("BARRIER=1", descriptors: [ends[1]])
        return told
    }

    /// It comes to what it has put off.
    func releaseBarriers() {
        holdsBarriers = false
        for barrier in barriers { close(barrier) }
        barriers = []
    }

    func barrier(timeoutMicroseconds: UInt64) throws(SystemError) -> Bool { true }
}
