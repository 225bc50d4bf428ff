import CLinux
import Glibc
import LinuxIO

/// One connected socket: moves bytes and descriptors between it and its connection's conversation.
final class Link: EventHandler, ConnectionTransport {
    let connection: Connection
    let socket: Descriptor
    /// Unsafe so as not to count references around every event: a server that goes away abandons its links before.
    unowned(unsafe) let server: Server
    let dispatcher: Dispatcher
    let loop: EventLoop
    var registration: EventLoop.Registration?
    var interest: EventMask = .input
    /// Always asked for. Each condition is reported once, which spares the kernel a second look at the socket in every
    /// turn; ``lookAgain()`` where there may be more.
    static let always: EventMask = [.once, .inputEnds]
    private var incoming: SocketInput
    /// What was received and has to wait.
    var input = ByteBuffer(capacity: 0)
    /// The client sends no more.
    var isInputEnded = false
    /// The last read may have left something.
    private var mayHaveMore = false
    /// The client receives no more: replies go nowhere.
    var isOutputBroken = false
    /// It went while requests of it waited for their turn: they are carried out, and nothing is waited for.
    private var isPeerGone = false
    private var (isMarkedUnsent, isMarkedRunnable, isMarkedKeeping) = (false, false, false)
    /// The last error is sent; what the client still sends is thrown away until it has noticed.
    var isLingering = false
    /// It was not let in, and only waits for its client to notice.
    var isTurnedAway = false
    /// Something could not be sent yet.
    private(set) var isBlocked = false
    /// The kernel refuses more descriptors in flight for this user: a writable socket does not help.
    private var isShortOfReferences = false
    /// When the client last took bytes, while it is blocked.
    private(set) var lastProgress: UInt64 = 0

    init(_ socket: consuming Descriptor, _ connection: Connection, _ server: Server) {
        incoming = SocketInput(socket.number)
        self.socket = socket
        self.connection = connection
        self.server = server
        loop = server.loop
        dispatcher = server.dispatcher
    }

    deinit {
        input.deallocate()
    }

    /// Whose turns it takes.
    /// Whose turns it has.
    var user: UInt32 { connection.credentials?.uid ?? .max }

    func start() -> Bool {
        guard let registered = try? loop.register(socket.number, for: Self.always.union(.input), user: user, self)
        else {
            return false
        }
        registration = registered
        connection.transport = self
        return true
    }

    /// Ends the connection: cancels what waits, closes what is held, tells the service.
    func end() {
        guard let registration else { return }
        self.registration = nil
        loop.unregister(registration)
        if !connection.isEnded { server.connectionEnded(connection) }
        // What is left unread would turn the end into ECONNRESET for the client.
        incoming.discard()
        _ = shutdown(socket.number, Int32(SHUT_RDWR))
        server.remove(self)
    }

    func markRunnable() {
        guard !isMarkedRunnable, registration != nil else { return }
        isMarkedRunnable = true
        server.markRunnable(self)
    }

    // MARK: ConnectionTransport

    var socketNumber: Int32 { socket.number }

    func connectionMayGoOn() {
        markRunnable()
        markUnsent()
    }

    func connectionHasNotification() { markUnsent() }

    func connectionWaitsForTurn() { waitForTurn() }

    func connectionSendsNow() {
        guard registration != nil, !isLingering else { return }
        let before = connection.outbox.pointee.sent
        sendAll()
        noteProgress(connection.outbox.pointee.sent != before)
        markUnsent()
    }

    /// May go on, and there is no time left in this turn.
    func postpone() {
        isMarkedRunnable = false
        waitForTurn()
    }

    /// Goes on in one of the next turns, when it is its user's.
    private func waitForTurn() {
        guard !isMarkedRunnable, registration != nil else { return }
        isMarkedRunnable = true
        // Not weak: that would make every later reference to it slow. One that has ended does nothing then.
        loop.inPieces(for: user) { [self] _ in
            proceed()
            return true
        }
    }

    // MARK: Input

    func ready(_ events: EventMask) {
        if !events.isDisjoint(with: [.hangUp, .error]), !interest.contains(.input) {
            // The peer is gone: what it waits for is cancelled, and replies have nowhere to go.
            guard connection.outbox.pointee.isTurnOver else { return end() }
            isPeerGone = true
            isOutputBroken = true
            isInputEnded = true
        }
        if !events.isDisjoint(with: [.input, .hangUp, .error, .inputEnds]), interest.contains(.input) {
            // The end of the input is seen by a read of nothing, and lies behind what may still be there.
            let isEnding = !events.isDisjoint(with: [.hangUp, .error, .inputEnds])
            if receive() || isEnding { lookAgain() }
        }
        if events.contains(.output), registration != nil { markUnsent() }
    }

    /// Asks to be told again of what is there already.
    private func lookAgain() {
        guard let registration, !isInputEnded else { return }
        loop.modify(registration, for: Self.always.union(interest))
    }

    /// One read; the loop comes back if there is more, so that no client holds up the others. Returns whether there may
    /// be more: the buffer was filled, or a read ended early because descriptors came with it.
    func receive() -> Bool {
        mayHaveMore = false
        if isLingering {
            _ = read(into: server.scratch, Server.readBytes)
        } else if input.count == 0 {
            guard let count = read(into: server.scratch, Server.readBytes) else { return false }
            process(server.scratch, count)
        } else {
            // A long line comes in many pieces: few steps, so that little is copied again and again.
            let ending = server.limits.messageBytes - input.count
            input.reserve(max(Server.readBytes, min(3 * input.count, ending)))
            guard let count = read(into: input.end, input.capacity - input.count) else { return false }
            input.count += count
            processInput()
        }
        return mayHaveMore
    }

    /// Bytes read; `nil` if there were none, or the connection ended.
    private func read(into buffer: UnsafeMutablePointer<UInt8>, _ size: Int) -> Int? {
        switch incoming.read(
            into: buffer, size, behind: input.count, isCrowded: server.isCrowded, for: connection)
        {
        case .bytes(let count, let isMoreLikely):
            mayHaveMore = isMoreLikely
            if !isMarkedKeeping, incoming.isKeeping {
                isMarkedKeeping = true
                server.markKeeping(self)
            }
            return count
        case .nothing: break
        case .end: endOfInput()
        case .failure: end()
        }
        return nil
    }

    /// Lets the kernel have back what was read.
    func discardInput() {
        isMarkedKeeping = false
        incoming.discard()
    }

    /// The client has shut down its side: a last line needs no line end to be complete.
    private func endOfInput() {
        isInputEnded = true
        if isLingering {
            end()
        } else if input.count > 0 {
            input.append(UInt8(ascii: "\n"))
            processInput()
        } else {
            settle()
        }
    }

    private func process(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        let done = dispatcher.consume(bytes, count, connection)
        if done < count, registration != nil { input.append(bytes + done, count - done) }
        checkUnfinished()
        settle()
    }

    private func processInput() {
        let done = dispatcher.consume(input.base, input.count, connection)
        input.removeFirst(done)
        if input.count == 0 { input.clear(keepingAtMost: 0) }
        checkUnfinished()
        settle()
    }

    /// Goes on with what has been received, if it may.
    func proceed() {
        isMarkedRunnable = false
        connection.beginTurn()
        guard registration != nil, !isLingering else { return }
        connection.goOnWithReply(loop.meter)
        input.count > 0 ? processInput() : settle()
    }

    /// After anything has changed: reads on or pauses, sends, or closes when all is done.
    private func settle() {
        guard registration != nil, !isLingering else { return }
        if isPeerGone, connection.outbox.pointee.isParked { return end() }
        if connection.outbox.pointee.pending > 0 || connection.hasNotifications { markUnsent() }
        if isFinished { return isMarkedUnsent ? () : close() }
        updateInterest()
    }

    /// Nothing is left to carry out or to send.
    private var isFinished: Bool {
        guard connection.outbox.pointee.pending == 0 || isOutputBroken else { return false }
        if connection.isClosing { return true }
        guard isInputEnded, !isMarkedRunnable, connection.canExecute, connection.batch == nil else { return false }
        // All complete lines have been carried out; a drain leaves the beginning of another alone.
        return true
    }

    private func updateInterest() {
        if connection.outbox.pointee.mustRead?.pointee == true { connection.waitForRoom() }
        var wanted: EventMask = isBlocked && !isShortOfReferences ? .output : []
        if !isInputEnded, connection.canExecute { wanted.insert(.input) }
        guard wanted != interest, let registration else { return }
        interest = wanted
        loop.modify(registration, for: Self.always.union(wanted))
    }

    // MARK: Output

    func markUnsent() {
        guard !isMarkedUnsent, registration != nil else { return }
        isMarkedUnsent = true
        server.markUnsent(self)
    }

    /// Sends what it can of what waits.
    func flush() {
        isMarkedUnsent = false
        guard registration != nil, !isLingering else { return }
        connection.mergeNotifications()
        let before = connection.outbox.pointee.sent
        let couldExecute = connection.canExecute
        sendAll()
        noteProgress(connection.outbox.pointee.sent != before)
        connection.account(input: input.capacity)
        connection.noteSent()
        if !couldExecute, connection.canExecute { markRunnable() }
        if connection.canGoOnWithReply { waitForTurn() }
        if isFinished { return close() }
        updateInterest()
    }

    private func sendAll() {
        let outbox = connection.outbox
        let end = isOutputBroken ? .broken : outbox.pointee.send(to: socket.number)
        isShortOfReferences = end == .shortOfReferences
        guard end == .broken else { return }
        isOutputBroken = true
        outbox.pointee.didSend(outbox.pointee.pending)
        outbox.pointee.dropAttachments()
    }

    private func noteProgress(_ hasProgressed: Bool) {
        let wasBlocked = isBlocked
        isBlocked = connection.outbox.pointee.sendable > 0
        guard isBlocked else { return }
        if hasProgressed || !wasBlocked { lastProgress = MonotonicClock.nanoseconds }
        server.watchStalls()
    }
}
