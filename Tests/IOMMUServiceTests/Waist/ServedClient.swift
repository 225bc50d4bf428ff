import Glibc
import IOMMU
import LinuxIO

@testable import IOMMUService
@testable import JSONRPC

/// The service behind a real server, with its clients on the same thread: who waits for a reply takes turns of the
/// loop.
final class ServedBench {
    let backend = FakeBackend()
    let bench: ServiceBench
    let server: Server
    let executor: LoopExecutor
    private(set) var isDrained = false

    init() throws {
        bench = try ServiceBench(backend: backend)
        executor = LoopExecutor(loop: bench.loop, pool: try WorkerPool(loop: bench.loop))
        server = Server(loop: bench.loop, dispatcher: bench.dispatcher)
        server.onConnect = { [unowned bench] in try? bench.service.connected($0) }
        server.onDisconnect = { [unowned bench] in bench.service.disconnected($0) }
        backend.makeSlowWork = { [executor] in SlowWork(executor: executor) }
    }

    func connect() throws -> ServedClient {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0 else {
            throw SystemError.current("socketpair")
        }
        server.add(Descriptor(adopting: ends[0]))
        return ServedClient(self, socket: ends[1])
    }

    /// The daemon stops.
    func drain() {
        let refusal = RPCError(errno: ECANCELED, reason: "daemon_stopping", message: "The daemon is stopping.")
        server.drain(within: 60_000_000_000, refusal: refusal) { [unowned self] in isDrained = true }
    }

    /// Takes turns of the loop until something is so.
    func pump(until isDone: () -> Bool) throws {
        while !isDone() { try bench.loop.turn(waiting: true) }
    }

    /// Handles what is ready.
    func settle() throws {
        for _ in 0..<20 { try bench.loop.turn(waiting: false) }
    }

    /// The context of the newest session.
    var context: FakeContext { backend.contexts[backend.contexts.count - 1] }
}

/// A client of a ``ServedBench``.
final class ServedClient {
    private unowned let bench: ServedBench
    private var socket: Int32
    private var input: [UInt8] = []

    init(_ bench: ServedBench, socket: Int32) {
        self.bench = bench
        self.socket = socket
    }

    deinit { end() }

    func end() {
        if socket >= 0 { close(socket) }
        socket = -1
    }

    func send(_ method: String, _ params: String = "{}") {
        let line = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"# + "\n"
        _ = line.withCString { write(socket, $0, strlen($0)) }
    }

    /// Whether a whole line is there, without waiting.
    var hasReply: Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(socket, &buffer, buffer.count), count > 0 { input += buffer.prefix(count) }
        return input.contains(UInt8(ascii: "\n"))
    }

    /// The next line.
    func reply() throws -> JSONValue {
        try bench.pump { hasReply }
        let line = input.prefix { $0 != UInt8(ascii: "\n") }
        input.removeFirst(line.count + 1)
        return try JSONValue(parsing: Array(line))
    }

    func call(_ method: String, _ params: String = "{}") throws -> JSONValue {
        send(method, params)
        return try reply()
    }
}
