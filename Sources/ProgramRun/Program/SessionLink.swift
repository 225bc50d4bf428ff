import Glibc
import JSONRPC
import LinuxIO

/// A connection to the daemon in a session that others may have, too.
final class SessionLink {
    private let client: RPCClient
    /// Readable when something comes that was not waited for.
    var descriptor: Int32 { client.socket }
    /// Requests that were sent without waiting.
    private var lastID = 1 << 20

    /// - Parameter session: made if it is not there.
    init(path: String, session: String) throws {
        client = try RPCClient(path: path)
        _ = try client.call("session.attach", .object([.init(key: "name", value: .string(session))]))
    }

    /// Calls a method, and waits for its result.
    ///
    /// - Parameter descriptors: sent along; they stay the caller's.
    @discardableResult
    func call(
        _ method: String, _ params: [(String, JSONValue?)] = [], descriptors: [Int32] = []
    ) throws(Refusal) -> JSONValue {
        do {
            return try client.call(method, .given(params), descriptors: descriptors)
        } catch let error as RPCError {
            throw Refusal(error)
        } catch {
            throw Refusal(EIO, note: "the daemon does not answer: \(error)")
        }
    }

    /// As ``call(_:_:descriptors:)``, with all that a refusal says.
    func outcome(_ method: String, _ params: [(String, JSONValue?)]) throws(Refusal) -> Result<JSONValue, RPCError> {
        do {
            return .success(try client.call(method, .given(params)))
        } catch let error as RPCError {
            return .failure(error)
        } catch {
            throw Refusal(EIO, note: "the daemon does not answer: \(error)")
        }
    }

    /// Sends a request whose reply ``nextMessage()`` brings. - Returns: its id.
    func send(_ method: String, _ params: [(String, JSONValue?)]) throws(Refusal) -> Int {
        lastID += 1
        let request = JSONValue.given([
            ("jsonrpc", .string("2.0")), ("id", .integer(lastID)), ("method", .string(method)),
            ("params", .given(params)),
        ])
        do throws(SystemError) {
            try client.send(line: request.text)
        } catch {
            throw Refusal(EIO, note: "the daemon does not answer: \(error)")
        }
        return lastID
    }

    /// What has come; waits if nothing has.
    func nextMessage() throws(Refusal) -> JSONValue {
        do {
            guard let line = try client.receiveLine() else { throw SystemError(errno: ECONNRESET, "receive") }
            return try JSONValue(parsing: line)
        } catch {
            throw Refusal(EIO, note: "the daemon does not answer: \(error)")
        }
    }
}

extension JSONValue {
    /// An object with the members that are not nil.
    static func given(_ members: [(String, JSONValue?)]) -> JSONValue {
        .object(members.compactMap { key, value in value.map { Member(key: key, value: $0) } })
    }

    /// A number that the daemon has promised, or `EIO`.
    func number(_ key: String) throws(Refusal) -> UInt64 {
        guard let value = self[key]?.unsignedValue else {
            throw Refusal(EIO, note: "the daemon answers without \(key)")
        }
        return value
    }

    /// As ``number(_:)``, of an id.
    func id(_ key: String) throws(Refusal) -> UInt32 { UInt32(truncatingIfNeeded: try number(key)) }
}
