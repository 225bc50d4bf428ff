import CLinux
import Glibc
import LinuxIO

/// A blocking client of one server: for command-line tools and tests.
public final class RPCClient {
    private let connected: Descriptor
    /// The connected socket.
    public var socket: Int32 { connected.number }
    /// Sees each line that comes, before anybody else.
    public var onLine: ((_ line: [UInt8]) -> Void)?
    /// Sees each request before it is sent.
    public var onSend: ((_ line: String) -> Void)?
    /// Asked when the server has been silent for as long as was said: whether to wait for as long again.
    public var onSilence: (() -> Bool)?
    /// Whether a reply to a request that was not made is a mistake; else it is overlooked.
    public var insistsOnIDs = false
    private var input: [UInt8] = []
    private var scanned = 0
    private var received: [SharedDescriptor] = []
    private var lastID = 0
    private var waitingNotifications: [JSONValue] = []

    /// Connects.
    ///
    /// - Parameter timeoutMilliseconds: How long to wait for the server, at each step, before ETIMEDOUT; 0 waits for
    ///   ever.
    public init(path: String, timeoutMilliseconds: Int = 0) throws(SystemError) {
        connected = try Descriptor(opened: clinux_unix_socket(false), "socket")
        // Connecting waits, too, while nobody accepts.
        if timeoutMilliseconds > 0 { setTimeout(timeoutMilliseconds) }
        let result = clinux_unix_connect(connected.number, path)
        try SystemError.check(result == -EAGAIN ? -ETIMEDOUT : result, "connect \(path)")
    }

    /// Takes over a connected socket.
    public init(adopting socket: consuming Descriptor) { connected = socket }

    private func setTimeout(_ milliseconds: Int) {
        var time = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            _ = setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout.size(ofValue: time)))
        }
    }

    // MARK: Calls

    /// Calls a method and waits for its result; a refusal is thrown as `RPCError`, a broken connection as
    /// `SystemError`.
    ///
    /// - Parameter descriptors: Sent along; they stay the caller's.
    public func call(
        _ method: String, _ params: JSONValue = .object([]), descriptors: [Int32] = []
    ) throws -> JSONValue {
        lastID += 1
        let request = JSONValue.members([
            ("jsonrpc", .string("2.0")), ("id", .integer(lastID)), ("method", .string(method)), ("params", params),
        ])
        let line = request.text
        onSend?(line)
        if let problem = problem(sending: line, descriptors) {
            // A server that has closed the connection may have said why before.
            guard problem.errno == EPIPE, let answer = try? nextMessage(), answer["id"] == .null else { throw problem }
            return try Self.result(of: answer)
        }
        while true {
            let message = try nextMessage()
            if message["method"] != nil {
                waitingNotifications.append(message)
            } else if message["id"] == .integer(lastID) || message["id"] == .null {
                return try Self.result(of: message)
            } else if insistsOnIDs {
                throw UnexpectedAnswer(text: message.text)
            }
        }
    }

    private func problem(sending line: String, _ descriptors: [Int32]) -> SystemError? {
        do throws(SystemError) { try send(line: line, descriptors: descriptors) } catch { return error }
        return nil
    }

    /// The next notification of the server, waited for if none has come.
    public func nextNotification() throws -> JSONValue {
        if !waitingNotifications.isEmpty { return waitingNotifications.removeFirst() }
        while true {
            let message = try nextMessage()
            if message["method"] != nil { return message }
        }
    }

    /// The notifications that came before replies and that nobody has asked for.
    public func takeNotifications() -> [JSONValue] {
        defer { waitingNotifications.removeAll() }
        return waitingNotifications
    }

    /// The descriptors that have come with replies and were not taken yet.
    public func takeDescriptors() -> [SharedDescriptor] {
        defer { received.removeAll() }
        return received
    }

    private func nextMessage() throws -> JSONValue {
        guard let line = try receiveLine() else {
            throw SystemError(errno: ECONNRESET, "the server closed the connection")
        }
        return try JSONValue(parsing: line)
    }

    private static func result(of reply: JSONValue) throws -> JSONValue {
        if let error = reply["error"] { throw RPCError(reply: error) }
        return reply["result"] ?? .null
    }

    // MARK: Lines

    /// Sends one line, to which the line end is added.
    public func send(line: String, descriptors: [Int32] = []) throws(SystemError) {
        try send(bytes: Array(line.utf8) + [UInt8(ascii: "\n")], descriptors: descriptors)
    }

    /// Sends bytes as they are; the descriptors go with the first of them.
    public func send(bytes: [UInt8], descriptors: [Int32] = []) throws(SystemError) {
        var sent = 0
        while sent < bytes.count {
            let attached = sent == 0 ? descriptors : []
            let result = bytes.withUnsafeBytes { raw in
                clinux_send(
                    socket, raw.baseAddress.map { $0 + sent }, raw.count - sent, attached, Int32(attached.count))
            }
            guard result >= 0 else {
                throw SystemError(errno: result == -Int(EAGAIN) ? ETIMEDOUT : Int32(-result), "send")
            }
            sent += result
        }
    }

    /// Says that nothing more will be sent; replies still come.
    public func finishSending() { _ = shutdown(socket, Int32(SHUT_WR)) }

    /// The next line without its end; `nil` when the server has closed.
    public func receiveLine() throws(SystemError) -> [UInt8]? {
        while true {
            if let end = lineEnd() {
                let line = Array(input[..<end])
                input.removeSubrange(...end)
                scanned = 0
                onLine?(line)
                return line
            }
            scanned = input.count
            guard try receiveMore() else { return nil }
        }
    }

    private func lineEnd() -> Int? {
        input.withUnsafeBytes { bytes in
            guard scanned < bytes.count, let base = bytes.baseAddress else { return nil }
            return memchr(base + scanned, 0x0a, bytes.count - scanned).map { UnsafeRawPointer($0) - base }
        }
    }

    private func receiveMore() throws(SystemError) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var fds = [Int32](repeating: -1, count: Int(CLINUX_SCM_MAX_FD))
        var ancillary = clinux_ancillary()
        let count = clinux_receive(socket, &buffer, buffer.count, &fds, &ancillary)
        received += fds.prefix(Int(ancillary.fd_count)).map { SharedDescriptor(Descriptor(adopting: $0)) }
        if count == -Int(EAGAIN), let onSilence, onSilence() { return true }
        guard count >= 0 else {
            throw SystemError(errno: count == -Int(EAGAIN) ? ETIMEDOUT : Int32(-count), "receive")
        }
        input += buffer.prefix(count)
        return count > 0
    }
}

/// A server answered something that no request asked for.
public struct UnexpectedAnswer: Error, CustomStringConvertible {
    /// What it said.
    public let text: String

    public var description: String { "an answer to no request: \(text)" }
}

extension RPCError {
    /// What stands in the place of a reason that a server does not give.
    package static let unknownReason = "unknown"

    /// The refusal that the `error` member of a reply tells of.
    package init(reply: JSONValue) {
        let code = reply["code"]?.intValue ?? Self.internalError
        let data = reply["data"]
        let hint = data?["hint"]?.stringValue
        var message = reply["message"]?.stringValue ?? "the server gave no message"
        if let hint, message.hasSuffix("; " + hint) { message.removeLast(hint.count + 2) }
        self.init(
            code: code, errno: (-4095 ... -1).contains(code) ? Int32(-code) : EINVAL,
            reason: data?["reason"]?.stringValue ?? Self.unknownReason,
            message: message, hint: hint)
        let known = ["errno", "reason", "hint"]
        for member in data?.objectValue ?? [] where !known.contains(member.key) { set(member.key, member.value) }
    }
}
