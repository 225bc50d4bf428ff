import Glibc
import LinuxIO
import ServiceTestSupport
import TestSupport
import Testing

@testable import JSONRPC

/// A client whose bytes go straight to the dispatcher of a ``ServiceBench``, and whose lines come back the same way.
///
/// It has the functions of `RPCClient`, so that a test can move from one to the other. A refusal, an event or a result
/// that is not as declared is an issue, whoever reads it.
final class PlayedClient: MethodCaller {
    let connection: Connection
    private let bench: ServiceBench
    private var unread: [UInt8] = []
    private var isInputEnded = false
    private var output: [UInt8] = []
    private var lines: [[UInt8]] = []
    private var received: [SharedDescriptor] = []
    private var notifications: [JSONValue] = []
    private var lastID = 0
    private var isLate = false
    /// False: what the service sends stays with it, as with a client that does not read.
    var isReading = true
    /// Nanoseconds that a line may take, whatever it waits for.
    private static let patience: UInt64 = 20_000_000_000

    init(_ connection: Connection, of bench: ServiceBench) {
        self.connection = connection
        self.bench = bench
    }

    deinit { disconnect() }

    /// The connection's end, as the service notices it.
    func disconnect() { bench.end(connection) }

    // MARK: Sending

    /// Sends bytes as they are; the descriptors go with all of them, and stay the caller's.
    func send(bytes: [UInt8], descriptors: [Int32] = []) throws { write(bytes, descriptors) }

    /// Sends one line, to which the line end is added.
    func send(line: String, descriptors: [Int32] = []) throws {
        write(Array(line.utf8) + [UInt8(ascii: "\n")], descriptors)
    }

    private func write(_ bytes: [UInt8], _ descriptors: [Int32]) {
        for number in descriptors {
            connection.receive(Descriptor(adopting: dup(number)), with: unread.count..<unread.count + bytes.count)
        }
        unread += bytes
        goOn()
        bench.settle()
    }

    /// Sends a request without waiting for its reply. - Returns: its id.
    @discardableResult
    func send(_ method: String, _ params: String = "{}", descriptors: [Int32] = []) -> Int {
        lastID += 1
        let line = #"{"jsonrpc":"2.0","id":\#(lastID),"method":"\#(method)","params":\#(params)}"#
        write(Array((line + "\n").utf8), descriptors)
        return lastID
    }

    /// Says that nothing more will be sent; replies still come.
    func finishSending() {
        isInputEnded = true
        if !unread.isEmpty { unread.append(UInt8(ascii: "\n")) }
        goOn()
    }

    /// Lets the dispatcher carry out what it may of what has been sent.
    func goOn() {
        var isFull = true
        // What has been received makes room for more replies.
        while isFull, !unread.isEmpty, connection.canExecute {
            unread = bench.dispatcher.consume(unread, from: connection)
            isFull = !connection.canExecute
            collect()
        }
        collect()
        let isDone = isInputEnded && unread.isEmpty && connection.canExecute && connection.batch == nil
        if isDone || connection.isClosing { disconnect() }
    }

    // MARK: Receiving

    private func collect() {
        guard isReading else { return }
        received += connection.outbox.pointee.attachments.flatMap(\.descriptors)
        connection.outbox.pointee.dropAttachments()
        output += connection.takeOutput()
        guard let end = output.lastIndex(of: UInt8(ascii: "\n")) else { return }
        for line in output[..<end].split(separator: UInt8(ascii: "\n")) {
            lines.append(Array(line))
            for problem in RefusalLedger.shared.enter(line: Array(line)) { Issue.record("\(problem)") }
        }
        output.removeSubrange(...end)
    }

    /// Whether a line is there, without waiting.
    var hasLine: Bool {
        bench.settle()
        collect()
        return !lines.isEmpty
    }

    /// The next line without its end; nil when the connection has ended.
    func receiveLine() throws -> [UInt8]? {
        let alarm = bench.loop.schedule(after: Self.patience) { [weak self] in self?.isLate = true }
        defer { bench.loop.cancel(alarm) }
        while !hasLine {
            if connection.isEnded { return nil }
            guard !isLate else { throw Unexpected("no answer") }
            try bench.proceed()
        }
        return lines.removeFirst()
    }

    /// The next line, which may be a reply or a notification.
    func receive() throws -> JSONValue {
        guard let line = try receiveLine() else { throw Unexpected("the connection has ended") }
        return try JSONValue(parsing: line)
    }

    /// The next notification, waited for if none has come.
    func nextNotification() throws -> JSONValue {
        if !notifications.isEmpty { return notifications.removeFirst() }
        while true {
            let message = try receive()
            if message["method"] != nil { return message }
        }
    }

    /// The descriptors that have come with replies and were not taken yet.
    func takeDescriptors() -> [SharedDescriptor] {
        defer { received.removeAll() }
        return received
    }

    // MARK: Calls

    /// The whole reply to a request that is answered at once; nil if it waits.
    func answer(_ method: String, _ params: String = "{}") throws -> JSONValue? {
        let id = send(method, params)
        while hasLine {
            if let reply = try reply(to: id) { return reply }
        }
        return nil
    }

    /// Calls a method and waits for its result; a refusal is thrown as `RPCError`.
    @discardableResult
    func call(_ method: String, _ params: JSONValue = .object([]), descriptors: [Int32] = []) throws -> JSONValue {
        let id = send(method, params.text, descriptors: descriptors)
        while true {
            guard let reply = try reply(to: id) else { continue }
            if let error = reply["error"] { throw RPCError(reply: error) }
            let result = reply["result"] ?? .null
            for problem in RefusalLedger.shared.problems(of: result, to: method) { Issue.record("\(problem)") }
            return result
        }
    }

    /// What the next line says to a request; nil if it is about something else.
    private func reply(to id: Int) throws -> JSONValue? {
        let message = try receive()
        if message["method"] != nil { notifications.append(message) }
        guard message["method"] == nil, message["id"] == .integer(id) || message["id"] == .null else { return nil }
        return message
    }
}
