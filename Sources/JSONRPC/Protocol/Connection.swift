import Glibc
import LinuxIO

/// One client's conversation: its identity, the descriptors it has sent, its replies in order, the call it waits for.
///
/// Knows nothing of sockets: a transport feeds it lines and sends what gathers in its outbox.
public final class Connection {
    /// Its name among the connections of its server.
    public let id: ConnectionID
    /// The peer, if it came over a socket.
    public let credentials: PeerCredentials?
    /// Whether it may call methods of role `admin`.
    public var isAdmin = false
    /// Whether the client has gone. Replies and notifications go nowhere from then on.
    public private(set) var isEnded = false

    let limits: Limits
    /// Its user's account of bytes; nil: nobody's.
    public var bytes: ClientBytes? { didSet { outbox.pointee.mustRead = bytes?.mustRead } }
    /// What of it the connection is.
    var charged = Charged()
    /// It is told when its user has read enough.
    var waitsForRoom = false
    let outbox: UnsafeMutablePointer<Outbox>
    private(set) var parked: ParkedCall? { didSet { outbox.pointee.isParked = parked != nil } }
    /// The reply that is being written in turns; its call is the one that is parked.
    var unfinished: UnfinishedReply?
    var batch: BatchCursor? { didSet { noteUnfinished() } }
    /// Bytes at the start of the input known to hold no line end.
    var scanned = 0
    /// What carries its bytes. Not weak: a weak reference would make every use of the transport slower.
    unowned var transport: (any ConnectionTransport)?
    /// Told when there is room again for notifications that `notify` has refused.
    public var onNotificationRoom: (() -> Void)?
    /// Told once when all that may be sent has been.
    var whenSent: (() -> Void)?
    let notifications: UnsafeMutablePointer<ByteBuffer>
    private var received = ReceivedDescriptors()
    /// Those of them that are on the user's account: all, or none.
    private var chargedDescriptors = 0
    /// Descriptors of the reply being made.
    private var attached: [SharedDescriptor] = [] { didSet { outbox.pointee.attachedCount = attached.count } }
    /// Descriptors arrived beyond the limit since the last error about it.
    var overflowed = 0 { didSet { noteUnfinished() } }
    /// The kernel could not hand over all descriptors of a message since the last error about it.
    var areDescriptorsLost = false { didSet { noteUnfinished() } }

    /// A conversation without a socket sends nothing by itself: `Transport` and tests take the bytes from
    /// `takeOutput()`.
    public init(id: ConnectionID, credentials: PeerCredentials?, limits: Limits = Limits()) {
        self.id = id
        self.credentials = credentials
        self.limits = limits
        outbox = .allocate(capacity: 1)
        outbox.initialize(to: Outbox())
        notifications = .allocate(capacity: 1)
        notifications.initialize(to: ByteBuffer(capacity: 0))
    }

    deinit {
        end()
        outbox.pointee.deallocate()
        outbox.deinitialize(count: 1)
        outbox.deallocate()
        notifications.pointee.deallocate()
        notifications.deallocate()
    }

    private func noteReceived() {
        outbox.pointee.hasReceived = !received.isEmpty
        let gone = chargedDescriptors - received.count
        guard gone > 0 else { return }
        chargedDescriptors -= gone
        bytes?.giveBackDescriptors?(gone)
    }

    private func noteUnfinished() {
        outbox.pointee.hasUnfinished = batch != nil || overflowed > 0 || areDescriptorsLost
    }

    /// No more requests are carried out: what is queued is sent, then the connection closes.
    var isClosing: Bool {
        get { outbox.pointee.isClosing }
        set { outbox.pointee.isClosing = newValue }
    }

    /// Whether the next request may be carried out now.
    @inline(__always)
    var canExecute: Bool {
        !outbox.pointee.isParked && !outbox.pointee.isHeld && !outbox.pointee.isTurnOver
            && !outbox.pointee.isClosing && !outbox.pointee.isFullOfDescriptors
            && outbox.pointee.mustRead?.pointee != true && outbox.pointee.pending < limits.outputHighWater
    }

    /// The client is gone: cancels the parked call and closes every descriptor held for the client.
    public func end() {
        guard !isEnded else { return }
        isEnded = true
        isClosing = true
        transport = nil
        unfinished = nil
        whenSent = nil
        let waiting = parked
        parked = nil
        waiting?.cancel()
        received.closeAll()
        noteReceived()
        dropAttached()
        outbox.pointee.dropAttachments()
        notifications.pointee.clear(keepingAtMost: 0)
        bytes?.change(unsent: -charged.unsent, unfinished: -charged.unfinished)
        bytes = nil
        charged = Charged()
    }

    /// Takes all bytes that wait to be sent. Not for connections with a transport.
    public func takeOutput() -> [UInt8] {
        mergeNotifications()
        let box = outbox
        let bytes = Array(
            UnsafeBufferPointer(start: box.pointee.bytes.pointee.base + box.pointee.head, count: box.pointee.sendable))
        if !bytes.isEmpty { box.pointee.didSend(bytes.count) }
        noteSent()
        return bytes
    }

    // MARK: Turns

    /// The requests that follow wait for another turn, if there is somebody to give it.
    @inline(never)
    func endTurn() {
        guard let transport else { return }
        outbox.pointee.isTurnOver = true
        transport.connectionWaitsForTurn()
    }

    /// Requests may be carried out again.
    func beginTurn() { outbox.pointee.isTurnOver = false }

    // MARK: Parking

    /// Whether requests wait that have not been begun: what the service does for somebody else comes first.
    public var isHeld: Bool {
        get { outbox.pointee.isHeld }
        set {
            guard newValue != outbox.pointee.isHeld else { return }
            outbox.pointee.isHeld = newValue
            if !newValue { transport?.connectionMayGoOn() }
        }
    }

    func park(_ call: ParkedCall) { parked = call }

    /// The parked call is answered: the connection may go on.
    func resume(_ call: ParkedCall) {
        guard parked === call else { return }
        parked = nil
        lineIsAnswered()
        transport?.connectionMayGoOn()
    }

    /// Waits no longer: what is parked is refused and its work ended; nothing else is carried out.
    func giveUp(_ refusal: RPCError) {
        isClosing = true
        // Half a reply has gone already: nothing that follows would be understood.
        guard unfinished == nil else { return }
        parked?.abort(refusal)
        if outbox.pointee.isInBatch { outbox.pointee.endBatch() }
    }

    // MARK: Descriptors

    /// Queues a received descriptor; one beyond the limit is closed at once and answered with an error.
    ///
    /// - Parameters:
    ///   - bytes: those that it came with, counted from the first of the input that is not yet done with.
    ///   - isSure: `false` if only the last of these is known to be one of them.
    func receive(_ descriptor: consuming Descriptor, with bytes: Range<Int>, isSure: Bool = true) {
        guard received.count < limits.waitingDescriptors, !isClosing, takesDescriptor() else {
            if !isClosing { overflowed += 1 }
            return
        }
        let done = outbox.pointee.inputDone
        received.add(descriptor, start: done + bytes.lowerBound, end: done + bytes.upperBound, isSure: isSure)
        noteReceived()
    }

    private static let descriptorsOfACall = 2

    private func takesDescriptor() -> Bool {
        guard let takes = bytes?.takeDescriptor else { return true }
        guard takes(received.count < Self.descriptorsOfACall) else { return false }
        chargedDescriptors += 1
        return true
    }

    /// Descriptors received and not yet taken.
    public var waitingDescriptors: Int { received.count }

    /// Those that the request in hand may take.
    var ownDescriptors: Int { received.count(forLineEndingAt: outbox.pointee.lineEnd) }

    /// Those of them that no later line may take.
    var exclusiveDescriptors: Int { received.count(onlyForLineEndingAt: outbox.pointee.lineEnd) }

    func takeDescriptor() throws(RPCError) -> Descriptor {
        guard !received.isOldestUnsure(forLineEndingAt: outbox.pointee.lineEnd) else {
            throw Self.missingDescriptor("it cannot be told whether the one received came with this line or the next")
        }
        guard let descriptor = received.take(forLineEndingAt: outbox.pointee.lineEnd) else {
            throw Self.missingDescriptor("none came with its bytes that is not taken already")
        }
        noteReceived()
        return descriptor
    }

    private static func missingDescriptor(_ cause: String) -> RPCError {
        RPCError(
            errno: EBADF, reason: "descriptor_missing", message: "the call takes a descriptor, and \(cause)",
            hint: "send the descriptor (SCM_RIGHTS) with bytes of the line that takes it")
    }

    /// Closes the descriptors of the line in hand that no later line may take, if it is answered as a whole.
    @inline(__always)
    func lineIsAnswered() {
        guard outbox.pointee.hasReceived, !outbox.pointee.isParked, !outbox.pointee.isInBatch else { return }
        received.close(afterLineEndingAt: outbox.pointee.lineEnd)
        noteReceived()
    }

    /// Takes over a descriptor that goes with the next reply.
    func attach(_ descriptor: SharedDescriptor) throws(RPCError) {
        guard attached.count + outbox.pointee.unsentDescriptors < limits.unsentDescriptors else {
            throw RPCError(
                errno: EMFILE, reason: "descriptors_unsent",
                message: "\(limits.unsentDescriptors) descriptors, as many as may, wait to be received by the client",
                hint: "receive the replies already made, then call again")
        }
        attached.append(descriptor)
    }

    /// Ties the attached descriptors to the reply that began at `mark` and is now complete.
    func bindAttached(from mark: Int) {
        guard !attached.isEmpty else { return }
        outbox.pointee.attach(attached, from: mark, limit: limits.unsentDescriptors)
        attached.removeAll()
    }

    func dropAttached() {
        guard outbox.pointee.attachedCount > 0 else { return }
        attached.removeAll()
    }
}

/// Where a batch goes on that had to wait.
struct BatchCursor {
    /// Bytes of the whole line, without its end.
    let lineLength: Int
    /// Bytes up to and including the line end.
    let consumed: Int
    /// Where the next request begins; `lineLength` when none is left.
    var offset: Int
}

extension Connection {
    /// The process that connected.
    ///
    /// - Throws: `ESRCH` if it has ended, or cannot be seen from here; `EMFILE`, `ENFILE`.
    public func peerProcess() throws(SystemError) -> OtherProcess {
        guard let transport else { return try OtherProcess(pid: credentials?.pid ?? 0) }
        return try OtherProcess(peerOf: transport.socketNumber)
    }
}
