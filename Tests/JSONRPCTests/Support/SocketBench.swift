import CLinux
import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// A server and its clients on one thread: a client that would block lets the loop take a turn instead.
final class SocketBench {
    struct Stuck: Error {}

    let loop: EventLoop
    let server: Server
    let bench = Workbench()
    let path: String
    var connected: [Connection] = []
    var ended: [ConnectionID] = []
    private static let patience: UInt64 = 30_000_000_000

    init(limits: Limits = Limits()) throws {
        var template = Array("/tmp/jsonrpc-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.current("mkdtemp") }
        let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = directory + "/socket"
        loop = try EventLoop()
        server = Server(loop: loop, dispatcher: Dispatcher(workbenchMethods(), context: bench, limits: limits))
        try server.listen(on: UnixListener(path: path))
        server.onConnect = { [unowned self] in connected.append($0) }
        server.onDisconnect = { [unowned self] in ended.append($0.id) }
    }

    deinit {
        unlink(path)
        rmdir(String(path.dropLast("/socket".count)))
    }

    /// Lets the loop run until something is so.
    func pump(until isDone: () throws -> Bool) throws {
        let deadline = MonotonicClock.nanoseconds + Self.patience
        while try !isDone() {
            guard MonotonicClock.nanoseconds < deadline else { throw Stuck() }
            try loop.turn(waiting: false)
        }
    }

    /// Lets the loop handle all that is ready.
    func settle() throws {
        for _ in 0..<50 { try loop.turn(waiting: false) }
    }

    func connect() throws -> SocketClient {
        let count = connected.count
        let client = try SocketClient(self)
        try pump { connected.count > count }
        return client
    }
}

/// A non-blocking client of a `SocketBench`.
final class SocketClient {
    let socket: Int32
    private unowned let bench: SocketBench
    private var input: [UInt8] = []
    private var scanned = 0
    private(set) var descriptors: [Int32] = []
    private(set) var isEnded = false

    init(_ bench: SocketBench) throws {
        self.bench = bench
        socket = clinux_unix_socket(true)
        let result = clinux_unix_connect(socket, bench.path)
        guard result == 0 else { throw SystemError(errno: -result, "connect") }
    }

    deinit { close() }

    private var isClosed = false

    func close() {
        guard !isClosed else { return }
        isClosed = true
        for number in descriptors { _ = Glibc.close(number) }
        _ = Glibc.close(socket)
    }

    func finishSending() { shutdown(socket, Int32(SHUT_WR)) }

    /// Sends everything; returns early if the server has closed.
    func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws {
        var sent = 0
        try bench.pump {
            while sent < bytes.count {
                let fds = sent == 0 ? descriptors : []
                let result = bytes.withUnsafeBytes {
                    clinux_send(socket, $0.baseAddress.map { $0 + sent }, $0.count - sent, fds, Int32(fds.count))
                }
                if result == -Int(EAGAIN) { return false }
                guard result > 0 else { return true }
                sent += result
            }
            return true
        }
    }

    func send(_ line: String, descriptors: [Int32] = []) throws {
        try send(Array((line + "\n").utf8), descriptors: descriptors)
    }

    /// Bytes that fit the socket's buffer, without letting the server run; returns how many.
    @discardableResult
    func sendWithoutServer(_ bytes: [UInt8], descriptors: [Int32] = []) -> Int {
        bytes.withUnsafeBytes { clinux_send(socket, $0.baseAddress, $0.count, descriptors, Int32(descriptors.count)) }
    }

    private func receive() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        var fds = [Int32](repeating: -1, count: Int(CLINUX_SCM_MAX_FD))
        var ancillary = clinux_ancillary()
        let count = clinux_receive(socket, &buffer, buffer.count, &fds, &ancillary)
        descriptors += fds.prefix(Int(ancillary.fd_count))
        if count > 0 { input += buffer.prefix(count) }
        if count == 0 || count < 0 && count != -Int(EAGAIN) { isEnded = true }
        return count > 0
    }

    private func lineEnd() -> Int? {
        let end = input.withUnsafeBytes { bytes -> Int? in
            guard scanned < bytes.count, let base = bytes.baseAddress else { return nil }
            return memchr(base + scanned, 0x0a, bytes.count - scanned).map { UnsafeRawPointer($0) - base }
        }
        scanned = input.count
        return end
    }

    /// The next line; `nil` at the end.
    func line() throws -> String? {
        var end: Int?
        try bench.pump {
            while true {
                end = lineEnd()
                if end != nil || isEnded { return true }
                if !receive() { return isEnded }
            }
        }
        guard let end else { return nil }
        defer {
            input.removeSubrange(...end)
            scanned = 0
        }
        return String(decoding: input[..<end], as: UTF8.self)
    }

    func reply() throws -> JSONValue { try JSONValue(parsing: try #require(try line())) }

    /// Everything up to the end, as lines.
    func rest() throws -> [String] {
        var lines: [String] = []
        while let line = try line() { lines.append(line) }
        return lines
    }
}

/// A request line.
func request(_ id: Int, _ method: String, _ params: String = "{}") -> String {
    #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"#
}
