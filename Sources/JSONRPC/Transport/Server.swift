import CLinux
import Glibc
import LinuxIO

/// Serves a dispatcher's methods on Unix sockets.
///
/// Within a turn of the loop all ready connections are read and their requests carried out; then `beforeSending` runs
/// once; then all replies leave, in one write for each connection.
public final class Server {
    let loop: EventLoop
    /// Carries out what connections ask for.
    public let dispatcher: Dispatcher
    var limits: Limits { dispatcher.limits }
    /// A client has connected: the place to decide about `isAdmin` and to make its state.
    public var onConnect: ((Connection) -> Void)?
    /// A connection has ended, whoever ended it: the place to tear its state down.
    public var onDisconnect: ((Connection) -> Void)?
    /// A client has not read its replies for too long: its connection ends now.
    public var onStall: ((Connection) -> Void)?
    /// Runs before the replies of a turn leave: what must be durable before a client hears of it is written here.
    /// False: it could not be, and the replies of this turn never leave; their connections end.
    public var beforeSending: (() -> Bool)?

    /// Where every read goes first; only what cannot be carried out at once is kept for its connection.
    let scratch: UnsafeMutablePointer<UInt8>
    static let readBytes = 64 << 10

    private var acceptors: [Acceptor] = []
    private(set) var links: [Link?] = []
    private var generations: [UInt32] = []
    private var freeIndices: [Int] = []
    /// Links that may go on; links with something to send; and the list being worked off, which is swapped with one of
    /// the others so that no turn allocates. By pointer: they are touched for every request.
    private let runnable = Server.emptyList()
    private let unsent = Server.emptyList()
    private let inHand = Server.emptyList()
    /// Whether more than one client was served in the last turn.
    private(set) var isCrowded = false
    /// Of connections whose input the kernel still keeps though it has been read, by index.
    private var keeping: [UInt32] = []
    private var keepingEnds: TimerID?
    /// Few times a second against the requests that come meanwhile; nothing against the patience of a client that
    /// has room for a handful of them only.
    private static let keepingNanoseconds: UInt64 = 5_000_000
    var stallCheck: TimerID?
    /// Nanoseconds between two looks at clients that do not read.
    var stallInterval: UInt64 = 1_000_000_000
    private var drainDeadline: TimerID?
    private var endOfTurn: TurnEndID?
    private var isDraining = false
    private var drainRefusal: RPCError?
    /// Connections turned away whose clients are given time to read why. They take nobody's place: a client that comes
    /// again and again must not keep others out.
    private var turnedAway = 0
    private static let lingeringTurnedAway = 16

    /// A server on the thread of its loop. It has to be kept for as long as it is to serve.
    public init(loop: EventLoop, dispatcher: Dispatcher) {
        self.loop = loop
        self.dispatcher = dispatcher
        dispatcher.meter = loop.meter
        scratch = .allocate(capacity: Self.readBytes + ByteBuffer.slack)
        endOfTurn = loop.atEndOfTurn { [unowned self] in finishTurn() }
    }

    private static func emptyList() -> UnsafeMutablePointer<[Link]> {
        let list = UnsafeMutablePointer<[Link]>.allocate(capacity: 1)
        list.initialize(to: [])
        return list
    }

    deinit {
        // Closures of the loop refer to the server without keeping it: they go first.
        if let endOfTurn { loop.removeFromEndOfTurn(endOfTurn) }
        for timer in [stallCheck, drainDeadline, keepingEnds] { timer.map(loop.cancel) }
        for acceptor in acceptors { acceptor.stop() }
        for link in links { link?.abandon() }
        scratch.deallocate()
        for list in [runnable, unsent, inHand] {
            list.deinitialize(count: 1)
            list.deallocate()
        }
    }

    /// Begins to accept connections.
    public func listen(on listener: UnixListener) throws(SystemError) {
        let acceptor = Acceptor(
            listener, loop: loop, isFull: { [unowned self] in isFull }, take: { [unowned self] in add($0) })
        try acceptor.start()
        acceptors.append(acceptor)
    }

    /// Connections at this moment.
    public var connectionCount: Int { links.count - freeIndices.count }

    /// The connection of that name, if it still exists.
    public func connection(_ id: ConnectionID) -> Connection? {
        let index = Int(id.index)
        guard index < links.count, let link = links[index], link.connection.id == id, !link.connection.isEnded else {
            return nil
        }
        return link.connection
    }

    /// Refuses to serve a connection that has just been made: its client gets one error with id null, then the end.
    /// Nobody waits for that client.
    public func turnAway(_ id: ConnectionID, _ error: RPCError) {
        guard connection(id) != nil, let link = links[Int(id.index)] else { return }
        let isLingering = turnedAway < Self.lingeringTurnedAway
        if isLingering { turnedAway += 1 }
        link.turnAway(error, lingering: isLingering)
    }

    /// Stops accepting, lets every connection finish what it has sent and waits for, then calls `done`. After
    /// `deadline` nanoseconds calls that still wait are answered with `refusal`, and all connections end.
    public func drain(within deadline: UInt64, refusal: RPCError, done: @escaping () -> Void) {
        guard !isDraining else { return }
        isDraining = true
        drainRefusal = refusal
        for acceptor in acceptors { acceptor.stop() }
        acceptors.removeAll()
        onDrained = done
        for link in links { link?.finish() }
        drainDeadline = loop.schedule(after: deadline) { [unowned self] in endAll() }
        reportIfDrained()
    }

    /// Ends a drain as if its deadline had come.
    public func cutDrainShort() {
        guard isDraining else { return }
        endAll()
    }

    private var onDrained: (() -> Void)?

    private func endAll() {
        if let drainRefusal {
            for link in links { link?.connection.giveUp(drainRefusal) }
        }
        let isDurable = beforeSending.map { $0() } ?? true
        for link in links {
            if !isDurable { link?.isOutputBroken = true }
            link?.sendAndEnd()
        }
        reportIfDrained()
    }

    private func reportIfDrained() {
        guard isDraining, connectionCount == 0, let done = onDrained else { return }
        onDrained = nil
        done()
    }
}

// MARK: - Connections

extension Server {
    var isFull: Bool { connectionCount - turnedAway >= limits.connections }

    /// Takes over an accepted socket.
    func add(_ socket: consuming Descriptor) {
        let index = freeIndices.popLast() ?? links.count
        if index == links.count {
            links.append(nil)
            generations.append(0)
        }
        let id = ConnectionID(index: UInt32(index), generation: generations[index])
        generations[index] &+= 1
        let credentials = PeerCredentials(of: socket.number)
        let connection = Connection(id: id, credentials: credentials, limits: limits)
        let link = Link(socket, connection, self)
        guard link.start() else {
            freeIndices.append(index)
            return
        }
        links[index] = link
        onConnect?(connection)
        guard let bytes = connection.bytes, bytes.onRoom == nil else { return }
        bytes.onRoom = { [weak self] waiting in
            for id in waiting {
                if let self, self.connection(id) != nil { links[Int(id.index)]?.goOn() }
            }
        }
    }

    /// The conversation is over, though its socket may linger.
    func connectionEnded(_ connection: Connection) {
        loop.meter.pointee.label = .end
        connection.end()
        onDisconnect?(connection)
        loop.meter.pointee.look()
    }

    func remove(_ link: Link) {
        let index = Int(link.connection.id.index)
        if link.isTurnedAway { turnedAway -= 1 }
        links[index] = nil
        freeIndices.append(index)
        for acceptor in acceptors { acceptor.resume() }
        reportIfDrained()
    }

    /// The connection may go on with what it has already sent.
    func markRunnable(_ link: Link) { runnable.pointee.append(link) }

    /// The connection has something to send at the end of the turn.
    func markUnsent(_ link: Link) { unsent.pointee.append(link) }

    /// What the connection has read has to be given back to the kernel soon.
    func markKeeping(_ link: Link) {
        keeping.append(link.connection.id.index)
        guard keepingEnds == nil else { return }
        keepingEnds = loop.schedule(after: Self.keepingNanoseconds) { [unowned self] in
            keepingEnds = nil
            for index in keeping { links[Int(index)]?.discardInput() }
            keeping.removeAll(keepingCapacity: true)
        }
    }

    /// Microseconds for what may go on, and for sending, at the end of a turn.
    private static let endOfTurnTime: UInt64 = 500

    private func finishTurn() -> Bool {
        if !runnable.pointee.isEmpty { proceed() }
        guard !unsent.pointee.isEmpty else { return false }
        guard beforeSending.map({ $0() }) ?? true else { return abandonUnsent() }
        send()
        return !runnable.pointee.isEmpty || !unsent.pointee.isEmpty
    }

    /// Nobody is told of what is not durable.
    private func abandonUnsent() -> Bool {
        let abandoned = unsent.pointee
        unsent.pointee.removeAll(keepingCapacity: true)
        for link in abandoned { link.end() }
        return !runnable.pointee.isEmpty || !unsent.pointee.isEmpty
    }

    private func proceed() {
        loop.meter.pointee.allow(microseconds: Self.endOfTurnTime)
        while !runnable.pointee.isEmpty {
            swap(&runnable.pointee, &inHand.pointee)
            for link in inHand.pointee {
                if loop.meter.pointee.isSpent(after: 1) { link.postpone() } else { link.proceed() }
            }
            inHand.pointee.removeAll(keepingCapacity: true)
        }
    }

    /// Sends what waits; of much that waits, the rest in the next turn.
    private func send() {
        swap(&unsent.pointee, &inHand.pointee)
        isCrowded = inHand.pointee.count > 1
        var done = 0
        if inHand.pointee.count > Self.fewToSend { loop.meter.pointee.allow(microseconds: Self.endOfTurnTime) }
        while done < inHand.pointee.count {
            if done >= Self.fewToSend, loop.meter.pointee.isSpent(after: 8) { break }
            inHand.pointee[done].flush()
            done += 1
        }
        if done < inHand.pointee.count { unsent.pointee.insert(contentsOf: inHand.pointee[done...], at: 0) }
        inHand.pointee.removeAll(keepingCapacity: true)
    }

    /// So many are always sent in the turn that made them.
    private static let fewToSend = 16
}
