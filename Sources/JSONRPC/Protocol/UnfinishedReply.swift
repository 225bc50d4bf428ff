import LinuxIO

/// A reply with a long list, written in one turn after another, as its client reads it.
///
/// What is in the outbox is on its way: it cannot become an error any more. Its call is parked meanwhile.
final class UnfinishedReply {
    /// Appends the next elements; false: there are no more.
    private let next: (JSONWriter) -> Bool
    /// Sets the fields behind the list.
    private let rest: (JSONWriter) -> Void
    private let buffer: UnsafeMutablePointer<ByteBuffer>
    private var hasElements = false
    /// The call that waits, if one turn was not enough.
    var parked: ParkedCall?

    init(next: @escaping (JSONWriter) -> Bool, rest: @escaping (JSONWriter) -> Void) {
        self.next = next
        self.rest = rest
        buffer = .allocate(capacity: 1)
        buffer.initialize(to: ByteBuffer(capacity: 4096))
    }

    deinit {
        buffer.pointee.deallocate()
        buffer.deinitialize(count: 1)
        buffer.deallocate()
    }

    /// Writes as much as the turn, and what the client has yet to read, leave room for; returns whether all is written.
    ///
    /// - Parameter isInTurns: whether somebody will come back for the rest.
    func write(
        to outbox: UnsafeMutablePointer<Outbox>, _ meter: UnsafeMutablePointer<TurnMeter>, limit: Int, isInTurns: Bool
    ) -> Bool {
        // Elements are separated by commas as if the list began here.
        begin("[")
        var isMore = true
        repeat {
            isMore = next(JSONWriter(buffer))
        } while isMore
            && !(isInTurns
                && (meter.pointee.isSpent(after: 1) || buffer.pointee.count + outbox.pointee.pending >= limit))
        if buffer.pointee.count > 1 {
            if hasElements { outbox.pointee.bytes.pointee.append(UInt8(ascii: ",")) }
            hasElements = true
            move(to: outbox)
        }
        guard !isMore else { return false }
        begin("]")
        rest(JSONWriter(buffer))
        outbox.pointee.bytes.pointee.append(UInt8(ascii: "]"))
        move(to: outbox)
        outbox.pointee.bytes.pointee.append(UInt8(ascii: "}"))
        return true
    }

    private func begin(_ bracket: Unicode.Scalar) {
        buffer.pointee.count = 0
        buffer.pointee.append(UInt8(ascii: bracket))
    }

    /// All but the bracket.
    private func move(to outbox: UnsafeMutablePointer<Outbox>) {
        outbox.pointee.bytes.pointee.append(buffer.pointee.base + 1, buffer.pointee.count - 1)
    }
}

extension Call {
    /// Answers with a list that may be long: the reply is made in turns, and no further ahead of what the client reads
    /// than other replies.
    ///
    /// - Parameters:
    ///   - next: appends an element, or a few; returns false if it was the last, or there was none. It is called in
    ///     later turns, too, when what it lists may have changed.
    ///   - rest: sets the other fields, behind the list.
    public func reply<Element>(
        _ field: Field<ListOf<Element>>, inPieces next: @escaping (ListWriter<Element>) -> Bool,
        then rest: @escaping (ResultWriter) -> Void = { _ in }
    ) -> Outcome {
        let shape = field.shape
        return reply { out in
            out.pointee.append("{\"")
            out.pointee.append(field.name)
            out.pointee.append("\":[")
        } with: {
            UnfinishedReply {
                next(ListWriter(json: $0, shape: shape))
            } rest: {
                rest(ResultWriter(json: $0))
            }
        }
    }

    /// As ``reply(_:inPieces:then:)`` with a result of the method's own making.
    ///
    /// - Parameter opening: all up to the list's first element.
    func reply(
        opening: (UnsafeMutablePointer<ByteBuffer>) -> Void, with make: () -> UnfinishedReply
    ) -> Outcome {
        guard !isNotification else { return reply() }
        let unfinished = make()
        state.pointee.hasReplied = true
        let outbox = connection.outbox
        let mark = outbox.pointee.mark
        outbox.pointee.open(id: state.pointee.id, state.pointee.idLength)
        outbox.pointee.bytes.pointee.append(",\"result\":")
        let start = outbox.pointee.bytes.pointee.count
        opening(outbox.pointee.bytes)
        guard connection.begin(unfinished, dispatcher.meter) else {
            let parked = park {}
            unfinished.parked = parked
            return .later(parked)
        }
        #if DEBUG
            if let mismatch = dispatcher.mismatch(
                outbox.pointee.bytes.pointee, from: start, method: state.pointee.method)
            {
                outbox.pointee.rollBack(to: mark)
                connection.writeError(
                    mismatch, id: state.pointee.id, state.pointee.idLength, method: method.title)
                return .reply
            }
        #endif
        outbox.pointee.close()
        return .reply
    }
}

extension ParkedCall {
    /// As ``Call/reply(_:inPieces:then:)``. `false` if the client has gone or has its answer.
    @discardableResult
    public func reply<Element>(
        _ field: Field<ListOf<Element>>, inPieces next: @escaping (ListWriter<Element>) -> Bool,
        then rest: @escaping (ResultWriter) -> Void = { _ in }
    ) -> Bool {
        guard isWaiting, let connection, !connection.isEnded else { return false }
        let shape = field.shape
        let unfinished = UnfinishedReply {
            next(ListWriter(json: $0, shape: shape))
        } rest: {
            rest(ResultWriter(json: $0))
        }
        unfinished.parked = self
        let outbox = connection.outbox
        let isNotification = id.withUnsafeBufferPointer { id in
            guard let base = id.baseAddress, !id.isEmpty else { return true }
            outbox.pointee.open(id: base, id.count)
            return false
        }
        guard !isNotification else { return reply() }
        outbox.pointee.bytes.pointee.append(",\"result\":{\"")
        outbox.pointee.bytes.pointee.append(field.name)
        outbox.pointee.bytes.pointee.append("\":[")
        guard connection.begin(unfinished, dispatcher.meter) else { return true }
        outbox.pointee.close()
        withdraw()
        return true
    }
}

extension Connection {
    /// Writes the first piece of a reply; returns whether it is all there is.
    func begin(_ reply: UnfinishedReply, _ meter: UnsafeMutablePointer<TurnMeter>) -> Bool {
        let isDone = reply.write(
            to: outbox, meter, limit: limits.outputHighWater, isInTurns: transport != nil)
        guard !isDone else { return true }
        unfinished = reply
        transport?.connectionWaitsForTurn()
        return false
    }

    /// Whether there is room for more of a reply that is not finished.
    var canGoOnWithReply: Bool { unfinished != nil && outbox.pointee.pending < limits.outputHighWater }

    /// Writes the next piece of a reply that is not finished, where there is room for it.
    func goOnWithReply(_ meter: UnsafeMutablePointer<TurnMeter>) {
        guard canGoOnWithReply, let reply = unfinished else { return }
        guard reply.write(to: outbox, meter, limit: limits.outputHighWater, isInTurns: true) else {
            if canGoOnWithReply { transport?.connectionWaitsForTurn() }
            return
        }
        unfinished = nil
        outbox.pointee.close()
        reply.parked?.withdraw()
    }
}
