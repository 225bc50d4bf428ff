import Glibc
import LinuxIO
import TestSupport

@testable import JSONRPC

/// A client whose bytes go straight to the dispatcher of a ``ServiceBench``, and whose replies come back the same way.
final class PlayedClient: MethodCaller {
    private let bench: ServiceBench
    private let connection: Connection
    private var unread: [UInt8] = []
    private var messages: [JSONValue] = []
    private var lastID = 0
    private var isLate = false
    /// Nanoseconds that a reply may take, whatever it waits for.
    private static let patience: UInt64 = 20_000_000_000

    init(_ connection: Connection, of bench: ServiceBench) {
        self.connection = connection
        self.bench = bench
    }

    deinit { bench.end(connection) }

    /// One line of a request.
    static func request(_ method: String, _ params: JSONValue, id: Int) -> [UInt8] {
        let request = JSONValue.object([
            .init(key: "jsonrpc", value: .string("2.0")), .init(key: "id", value: .integer(id)),
            .init(key: "method", value: .string(method)), .init(key: "params", value: params),
        ])
        return Array((request.text + "\n").utf8)
    }

    /// Sends a request without waiting for its reply. - Returns: its id.
    @discardableResult
    func send(_ method: String, _ params: JSONValue = .object([]), descriptors: [Int32] = []) -> Int {
        lastID += 1
        let line = Self.request(method, params, id: lastID)
        for number in descriptors {
            connection.receive(Descriptor(adopting: dup(number)), with: unread.count..<unread.count + line.count)
        }
        unread += line
        consume()
        return lastID
    }

    /// Sends a request with parameters as JSON text, without waiting for its reply. - Returns: its id.
    @discardableResult
    func send(_ method: String, _ params: String) throws -> Int {
        send(method, try JSONValue(parsing: params))
    }

    /// Waits for the reply to a request. A refusal is thrown as `RPCError`.
    func result(of id: Int) throws -> JSONValue {
        let reply = try next { $0["method"] == nil && ($0["id"] == .integer(id) || $0["id"] == .null) }
        if let error = reply["error"] { throw RPCError(reply: error) }
        return reply["result"] ?? .null
    }

    /// Calls a method and waits for its result; a refusal is thrown as `RPCError`.
    @discardableResult
    func call(
        _ method: String, _ params: JSONValue = .object([]), descriptors: [Int32] = []
    ) throws -> JSONValue {
        try result(of: send(method, params, descriptors: descriptors))
    }

    /// Waits for the next notification.
    func nextNotification() throws -> JSONValue { try next { $0["method"] != nil } }

    /// The connection's end, as the daemon notices it.
    func disconnect() { bench.end(connection) }

    private func next(where isWanted: (JSONValue) -> Bool) throws -> JSONValue {
        let alarm = bench.loop.schedule(after: Self.patience) { [weak self] in self?.isLate = true }
        defer { bench.loop.cancel(alarm) }
        while true {
            consume()
            messages += try bench.replies(on: connection)
            if let index = messages.firstIndex(where: isWanted) { return messages.remove(at: index) }
            guard !isLate, !connection.isEnded else { throw Unexpected("no answer; there is \(messages.map(\.text))") }
            try bench.proceed()
        }
    }

    private func consume() { unread = bench.dispatcher.consume(unread, from: connection) }
}
