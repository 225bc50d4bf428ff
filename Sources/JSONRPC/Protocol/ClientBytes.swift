import Glibc

/// What all connections of one user make the server hold together: replies and notifications that have not been sent,
/// and requests that have not been carried out.
///
/// Each connection adds what it holds once a turn, and only while that is more than the little that every connection
/// keeps. A user above the first limit has no more requests carried out, on no connection, until some of the replies
/// have been read; above the second a line that has not ended is refused.
public final class ClientBytes {
    /// Bytes of replies and notifications, above which nothing more is carried out for the user.
    public var unsentLimit: Int { didSet { note() } }
    /// Bytes of requests that are not carried out.
    public var unfinishedLimit: Int
    /// Replies and notifications that wait to be sent.
    public private(set) var unsent = 0
    /// Requests that have not ended, or have to wait.
    public private(set) var unfinished = 0
    /// Counts one more descriptor that waits for the call that takes it; false if the user may have no more. Those that
    /// one call takes are counted in any case: the call says why it is refused.
    public var takeDescriptor: ((_ always: Bool) -> Bool)?
    /// So many of them are taken, or closed.
    public var giveBackDescriptors: ((Int) -> Void)?
    /// Whether the user has to read first; by pointer, since every request asks.
    let mustRead: UnsafeMutablePointer<Bool>
    /// Connections that wait until the user has read some.
    private var waiting: [ConnectionID] = []
    /// Told when they may go on.
    var onRoom: (([ConnectionID]) -> Void)?

    /// Whose connections hold nothing.
    public init(unsentLimit: Int, unfinishedLimit: Int) {
        (self.unsentLimit, self.unfinishedLimit) = (unsentLimit, unfinishedLimit)
        mustRead = .allocate(capacity: 1)
        mustRead.initialize(to: false)
    }

    deinit { mustRead.deallocate() }

    /// One connection holds more than before, or less.
    func change(unsent: Int, unfinished: Int) {
        self.unsent += unsent
        self.unfinished += unfinished
        note()
    }

    private func note() {
        let isAbove = unsent > unsentLimit
        guard isAbove != mustRead.pointee else { return }
        mustRead.pointee = isAbove
        guard !isAbove, !waiting.isEmpty else { return }
        let resumed = waiting
        waiting = []
        onRoom?(resumed)
    }

    /// The connection is told when the user has read enough.
    func wait(_ connection: ConnectionID) { waiting.append(connection) }

    /// `EDQUOT` for a line that has not ended, once the user has sent too much of such.
    func checkUnfinished() throws(RPCError) {
        guard unfinished > unfinishedLimit else { return }
        throw RPCError(
            errno: EDQUOT, reason: "quota_exceeded",
            message:
                "the lines that the user has not ended hold \(unfinished) bytes, more than \(unfinishedLimit), and "
                + "the connection is closed",
            hint: "end lines sooner, or ask the administrator to raise limits.unfinished_bytes"
        ).with("key", .string("limits.unfinished_bytes")).with("limit", .integer(unfinishedLimit))
            .with("used", .integer(unfinished))
    }
}

extension Connection {
    /// Puts what it holds on its user's account. Costs a comparison while that is next to nothing.
    ///
    /// - Parameter input: bytes of memory for what was received and not carried out.
    @inline(__always)
    func account(input: Int) {
        guard
            isCharged || input > 0 || outbox.pointee.bytes.pointee.capacity > Outbox.usualCapacity
                || notifications.pointee.capacity > Outbox.usualCapacity
        else { return }
        charge(input: input)
    }

    @inline(never)
    private func charge(input: Int) {
        guard let bytes else { return }
        let unsent =
            max(0, outbox.pointee.bytes.pointee.capacity - Outbox.usualCapacity)
            + max(0, notifications.pointee.capacity - Outbox.usualCapacity)
        let (before, now) = (charged, Charged(unsent: unsent, unfinished: input))
        charged = now
        bytes.change(unsent: now.unsent - before.unsent, unfinished: now.unfinished - before.unfinished)
    }

    /// What of its user's account the connection is.
    struct Charged {
        var unsent = 0
        var unfinished = 0
    }

    private var isCharged: Bool { charged.unsent > 0 || charged.unfinished > 0 }

    /// Told once there is room again, if its user has to read first.
    func waitForRoom() {
        guard let bytes, bytes.mustRead.pointee, !waitsForRoom else { return }
        waitsForRoom = true
        bytes.wait(id)
    }
}
