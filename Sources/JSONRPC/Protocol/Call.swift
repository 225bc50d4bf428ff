import Glibc
import LinuxIO

/// What a call is made of while its handler runs.
///
/// In memory of its own and without strong references: a handler's every access to its call would otherwise count
/// references and check exclusivity.
struct CallState {
    /// Both outlive the call: their methods are running.
    var dispatcher: Unmanaged<Dispatcher>
    var connection: Unmanaged<Connection>
    var source: ParameterSource
    /// The id's bytes as the client wrote them; length 0 for a notification.
    var id: UnsafeMutablePointer<UInt8>
    var idLength: Int
    var method: Int
    var hasReplied: Bool
}

/// One request, as its handler sees it. Valid until the handler returns.
public final class Call {
    let state: UnsafeMutablePointer<CallState>

    /// One for each dispatcher, which fills in its state for one request after the other.
    init() { state = .allocate(capacity: 1) }

    deinit { state.deallocate() }

    /// The client that calls.
    public var connection: Connection { state.pointee.connection.takeUnretainedValue() }

    var dispatcher: Dispatcher { state.pointee.dispatcher.takeUnretainedValue() }

    /// The declaration of the method called.
    public var method: MethodDeclaration { dispatcher.declarations[state.pointee.method] }

    /// Whether the client wants no reply.
    public var isNotification: Bool { state.pointee.idLength == 0 }

    /// The value of a declared parameter.
    @inline(__always)
    public subscript<Value>(parameter: Param<Value>) -> Value { state.pointee.source[parameter] }

    // MARK: Replying

    /// Writes the reply, whose result `body` sets field by field.
    public func reply(_ body: (ResultWriter) throws -> Void) rethrows -> Outcome {
        try replyFree { json in
            try json.object { try body(ResultWriter(json: $0.json)) }
        }
    }

    /// Writes a reply whose result has no fields.
    public func reply() -> Outcome { reply { _ in } }

    /// Writes the reply of a method declared with `freeResult()`: `body` writes exactly one JSON object.
    public func replyFree(_ body: (JSONWriter) throws -> Void) rethrows -> Outcome {
        state.pointee.hasReplied = true
        guard state.pointee.idLength > 0 else {
            connection.dropAttached()
            return .reply
        }
        try state.pointee.connection._withUnsafeGuaranteedRef {
            try $0.writeReply(
                id: state.pointee.id, state.pointee.idLength, method: state.pointee.method, state.pointee.dispatcher,
                body)
        }
        return .reply
    }

    // MARK: Descriptors

    /// Descriptors that came with the bytes of this request's line and that no call has taken.
    public var waitingDescriptors: Int { connection.ownDescriptors }

    /// Whether some of them cannot be meant for another call: no later line has their bytes, and this is no batch.
    public var hasDescriptorsOfItsOwn: Bool {
        connection.exclusiveDescriptors > 0 && !connection.outbox.pointee.isInBatch
    }

    /// Takes the oldest of the descriptors that came with the bytes of this request's line; EBADF if there is none.
    public func takeDescriptor() throws -> Descriptor { try connection.takeDescriptor() }

    /// Sends a descriptor with the reply that follows; it is closed once sent. EMFILE if too many are unsent.
    public func attach(_ descriptor: consuming Descriptor) throws { try attach(SharedDescriptor(descriptor)) }

    /// As ``attach(_:)``; closed once all who hold it have dropped it.
    public func attach(_ descriptor: SharedDescriptor) throws { try connection.attach(descriptor) }

    // MARK: Parking

    /// Puts the call aside to be answered later; the connection's next request waits for it.
    ///
    /// Return the result as `.later`. Parameters cannot be read once the handler has returned.
    /// - Parameter onCancel: Called if the connection ends before the answer.
    public func park(onCancel: @escaping () -> Void) -> ParkedCall {
        let id = Array(UnsafeBufferPointer(start: state.pointee.id, count: state.pointee.idLength))
        let parked = ParkedCall(connection, dispatcher, id: id, method: state.pointee.method, onCancel: onCancel)
        state.pointee.hasReplied = true
        connection.park(parked)
        return parked
    }
}

/// A call that waits for its answer. Used on the loop's thread only.
public final class ParkedCall {
    /// Until the answer, or the end of the connection.
    private(set) var connection: Connection?
    let dispatcher: Dispatcher
    let id: [UInt8]
    private let method: Int
    private var onCancel: (() -> Void)?

    init(
        _ connection: Connection, _ dispatcher: Dispatcher, id: [UInt8], method: Int, onCancel: @escaping () -> Void
    ) {
        self.connection = connection
        self.dispatcher = dispatcher
        self.id = id
        self.method = method
        self.onCancel = onCancel
    }

    /// Whether an answer is still waited for.
    public var isWaiting: Bool { onCancel != nil }

    /// Sends a descriptor with the reply that follows; EMFILE if too many are unsent.
    public func attach(_ descriptor: consuming Descriptor) throws {
        guard isWaiting, let connection else { return }
        try connection.attach(SharedDescriptor(descriptor))
    }

    /// Answers with a result, which `body` sets field by field. `false` if the client has gone or has its answer.
    @discardableResult
    public func reply(_ body: (ResultWriter) throws -> Void) rethrows -> Bool {
        try finish { connection in
            try id.withUnsafeBufferPointer { id in
                guard let base = id.baseAddress, !id.isEmpty else { return connection.dropAttached() }
                try connection.writeReply(id: base, id.count, method: method, .passUnretained(dispatcher)) { json in
                    try json.object { try body(ResultWriter(json: $0.json)) }
                }
            }
        }
    }

    /// Answers with a result that has no fields. `false` if the client has gone or has its answer.
    @discardableResult
    public func reply() -> Bool { reply { _ in } }

    /// Answers with an error. `false` if the client has gone or has its answer.
    @discardableResult
    public func fail(_ error: any Error) -> Bool {
        finish { connection in
            connection.dropAttached()
            dispatcher.refuse(RPCError(wrapping: error), cause: error, connection, id: id, method: method)
        }
    }

    private func finish(_ write: (Connection) throws -> Void) rethrows -> Bool {
        guard isWaiting, let connection, !connection.isEnded else { return false }
        onCancel = nil
        self.connection = nil
        defer { connection.resume(self) }
        try write(connection)
        return true
    }

    /// Answers with an error and ends the work done for it, as the end of the connection does.
    func abort(_ error: RPCError) {
        let cancelled = onCancel
        guard fail(error) else { return }
        cancelled?()
    }

    /// The connection has ended.
    func cancel() {
        let cancelled = onCancel
        onCancel = nil
        connection = nil
        cancelled?()
    }

    /// The handler threw after parking: its error is the answer.
    func withdraw() {
        onCancel = nil
        connection?.resume(self)
        connection = nil
    }
}
