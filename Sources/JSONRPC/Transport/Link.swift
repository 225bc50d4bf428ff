import CLinux
import Glibc
import LinuxIO

/// One connected socket: moves bytes and descriptors between it and its connection's conversation.
final class Link: EventHandler, ConnectionTransport {
    let connection: Connection
    private let socket: Descriptor
    /// Unsafe so as not to count references around every event: a server that goes away abandons its links before.
    private unowned(unsafe) let server: Server
    private let dispatcher: Dispatcher
    private let loop: EventLoop
    private var registration: EventLoop.Registration?
    private var interest: EventMask = .input
    /// Always asked for. Each condition is reported once, which spares the kernel a second look at the socket in every
    /// turn; ``lookAgain()`` where there may be more.
    private static let always: EventMask = [.once, .inputEnds]
    private var incoming: SocketInput
    private var isMarkedKeeping = false
    /// What was received and has to wait.
    private var input = ByteBuffer(capacity: 0)
    /// The client sends no more.
    private var isInputEnded = false
    /// The last read may have left something.
    private var mayHaveMore = false
    /// The client receives no more: replies go nowhere.
    private var isOutputBroken = false
    private var isMarkedUnsent = false
    private var isMarkedRunnable = false
    /// The last error is sent; what the client still sends is thrown away until it has noticed.
    private var isLingering = false
    /// It was not let in, and only waits for its client to notice.
    private(set) var isTurnedAway = false
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

    func start() -> Bool {
        guard let registered = try? loop.register(socket.number, for: Self.always.union(.input), self) else {
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

    /// All is sent. A client that may still be sending is given time to read the last error: closing on it at once
    /// would turn that into ECONNRESET or EPIPE.
    private func close() {
        guard connection.isClosing, !isInputEnded, !isOutputBroken, let registration else { return end() }
        isLingering = true
        server.connectionEnded(connection)
        _ = shutdown(socket.number, Int32(SHUT_WR))
        interest = .input
        loop.modify(registration, for: Self.always.union(.input))
        loop.schedule(after: Self.lingerNanoseconds) { [weak self] in self?.end() }
    }

    private static let lingerNanoseconds: UInt64 = 1_000_000_000

    /// Takes no more requests than have already arrived, answers those, then closes.
    func finish() {
        // What the kernel keeps for a client is a few reads: more of them where descriptors have buffers of their own.
        var reads = 0
        while reads < 32, registration != nil, interest.contains(.input), !isLingering, receive() { reads += 1 }
        isInputEnded = true
        markRunnable()
        markUnsent()
    }

    /// The last chance of a reply to leave: a client that does not take it at once goes without.
    func sendAndEnd() {
        isInputEnded = true
        flush()
        end()
    }

    /// Tells a client that is not served why, then closes. Only a lingering end is sure to reach a client that is still
    /// sending.
    func turnAway(_ error: RPCError, lingering: Bool) {
        isTurnedAway = lingering
        connection.writeError(error)
        connection.isClosing = true
        if lingering { markUnsent() } else { sendAndEnd() }
    }

    private func markRunnable() {
        guard !isMarkedRunnable, registration != nil else { return }
        isMarkedRunnable = true
        server.markRunnable(self)
    }

    /// The server is no more: nobody is told.
    func abandon() {
        if let registration { loop.unregister(registration) }
        registration = nil
        connection.end()
    }

    // MARK: ConnectionTransport

    func connectionMayGoOn() {
        markRunnable()
        markUnsent()
    }

    func connectionHasNotification() { markUnsent() }

    // MARK: Input

    func ready(_ events: EventMask) {
        if !events.isDisjoint(with: [.hangUp, .error]), !interest.contains(.input) {
            // The peer is gone: what it waits for is cancelled, and replies have nowhere to go.
            return end()
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
    private func receive() -> Bool {
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
        settle()
    }

    private func processInput() {
        let done = dispatcher.consume(input.base, input.count, connection)
        input.removeFirst(done)
        if input.count == 0 { input.clear(keepingAtMost: 0) }
        settle()
    }

    /// Goes on with what has been received, if it may.
    func proceed() {
        isMarkedRunnable = false
        guard registration != nil, !isLingering else { return }
        input.count > 0 ? processInput() : settle()
    }

    /// After anything has changed: reads on or pauses, sends, or closes when all is done.
    private func settle() {
        guard registration != nil, !isLingering else { return }
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
        var wanted: EventMask = isBlocked && !isShortOfReferences ? .output : []
        if !isInputEnded, connection.canExecute { wanted.insert(.input) }
        guard wanted != interest, let registration else { return }
        interest = wanted
        loop.modify(registration, for: Self.always.union(wanted))
    }

    // MARK: Output

    private func markUnsent() {
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
        if !couldExecute, connection.canExecute { markRunnable() }
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
        isBlocked = connection.outbox.pointee.pending > 0
        guard isBlocked else { return }
        if hasProgressed || !wasBlocked { lastProgress = MonotonicClock.nanoseconds }
        server.watchStalls()
    }
}
