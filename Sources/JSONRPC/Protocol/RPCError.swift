import LinuxIO

/// A call that was refused: what goes into the `error` member of the reply.
///
/// `data` always holds `errno`, `reason` and `method` (which the dispatcher knows), then `hint` and the objects
/// involved.
public struct RPCError: Error, Sendable, CustomStringConvertible {
    /// Malformed JSON (JSON-RPC 2.0, section 5.1).
    public static let parseError = -32700
    /// Well-formed JSON that is not a request, or one beyond the transport's limits.
    public static let invalidRequest = -32600
    /// No method of that name.
    public static let methodNotFound = -32601
    /// A mistake in the parameters.
    public static let invalidParams = -32602
    /// A mistake of the server's own.
    public static let internalError = -32603

    /// The negative errno of a refused operation, or one of the JSON-RPC codes above.
    public let code: Int
    /// The Linux errno of the refusal, positive.
    public let errno: Int32
    /// A stable snake_case slug.
    public let reason: String
    /// For a person: what is wrong, naming the object and the value; on the wire the remedy follows.
    public let message: String
    /// The remedy: what to do about it.
    public var hint: String?
    /// The objects involved, in the order they are shown: `"ioas": 3`, `"iova": "0x1000"`.
    public private(set) var details: [JSONValue.Member] = []

    /// A refusal with a code of its own; errno is positive.
    public init(code: Int, errno: Int32, reason: String, message: String, hint: String? = nil) {
        self.code = code
        self.errno = errno
        self.reason = reason
        self.message = message
        self.hint = hint
    }

    /// A refused operation: the code is the negative errno.
    public init(errno: Int32, reason: String, message: String, hint: String? = nil) {
        self.init(code: -Int(errno), errno: errno, reason: reason, message: message, hint: hint)
    }

    public var description: String { hint.map { "\(message); \($0)" } ?? message }

    /// Names an object involved.
    public mutating func set(_ key: String, _ value: JSONValue) {
        details.append(JSONValue.Member(key: key, value: value))
    }

    /// The same refusal with one more object named.
    public func with(_ key: String, _ value: JSONValue) -> RPCError {
        var error = self
        error.set(key, value)
        return error
    }

    /// Writes the `error` member's value.
    func write(to json: JSONWriter, method: String?) {
        json.object { error in
            error.member("code").integer(code)
            error.member("message").string(description)
            error.member("data").object { data in
                data.member("errno").string(Errno.name(of: errno))
                data.member("reason").string(reason)
                data.member("method").value(method.map(JSONValue.string) ?? .null)
                if let hint { data.member("hint").string(hint) }
                for detail in details { data.member(detail.key).value(detail.value) }
            }
        }
    }
}

extension RPCError {
    /// A line of its own that belongs to no request: for a client that no server serves.
    package var line: [UInt8] {
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
        connection.writeError(self)
        defer { connection.end() }
        return connection.takeOutput()
    }
}

/// An error of an upper layer that knows its own form on the wire. Any other error becomes one -32603.
public protocol RPCErrorConvertible: Error {
    /// What a client sees of it.
    var rpcError: RPCError { get }
}

extension RPCError {
    /// The wire form of whatever a handler threw.
    init(wrapping error: any Error) {
        if let error = error as? RPCError {
            self = error
        } else if let error = error as? any RPCErrorConvertible {
            self = error.rpcError
        } else {
            self.init(
                code: Self.internalError, errno: 5, reason: "internal_error",
                message: "the daemon failed to carry this out", hint: "look into its log, which says why")
        }
    }
}
