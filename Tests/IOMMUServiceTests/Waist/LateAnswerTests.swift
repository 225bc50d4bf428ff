import Glibc
import IOMMU
import LinuxIO
import Testing

@testable import IOMMUService
@testable import JSONRPC

/// Calls that a backend answers later, as a kernel's ioctls on a worker are.
@Suite struct LateAnswerTests {
    private let map = #"{"ioas":1,"memory":1,"length":4096,"iova":"0x1000"}"#
    private let unmap = #"{"ioas":1,"iova":"0x1000","length":4096}"#
    private let backend = FakeBackend()
    private let bench: ServiceBench

    init() throws {
        bench = try ServiceBench(backend: backend)
        let executor = LoopExecutor(loop: bench.loop, pool: try WorkerPool(loop: bench.loop))
        backend.makeSlowWork = { SlowWork(executor: executor) }
    }

    /// The context of the newest session.
    private var context: FakeContext { backend.contexts[backend.contexts.count - 1] }

    @Test func theReplyComesWhenTheBackendIsThrough() throws {
        let client = try bench.connect()
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 1)
        client.send("ioas.map", map)
        client.send("ioas.unmap", unmap)
        client.send("session.objects")
        try bench.handleReady()
        #expect(!client.hasLine && context.calls == ["map 4096"], "nothing overtakes")
        context.slowWork?.open(2)
        #expect(try client.receive()["result"]?["iova"]?.stringValue == "0x1000")
        let refused = try client.receive()["error"]
        #expect(refused?["data"]?["errno"]?.stringValue == "ENOENT")
        #expect(refused?["data"]?["reason"]?.stringValue == "not_mapped")
        #expect(try client.receive()["result"]?["objects"]?.arrayValue?.count == 1)
        #expect(context.calls == ["map 4096", "map 4096 ended", "unmap 4096", "unmap 4096 ended"])
    }

    @Test func aSessionIsServedInOrderAndOthersGoOn() throws {
        let (first, second, stranger) = (try bench.connect(), try bench.connect(), try bench.connect())
        for client in [first, second] { try client.call("session.attach", #"{"name":"vm"}"#) }
        let context = context
        try first.call("ioas.alloc")
        first.send("ioas.map", map)
        #expect(context.calls == ["map 4096"])
        second.send("ioas.alloc")
        second.send("device.unbind", #"{"device":1}"#)
        // The other session is served, in many turns, and the second connection is not.
        for number in 1...20 {
            #expect(try stranger.id("ioas.alloc", "{}", "ioas") == number)
            try bench.handleReady()
        }
        #expect(!second.hasLine && context.objectIDs.count == 1)
        // Who comes into the session waits as well.
        let late = try bench.connect()
        late.send("session.attach", #"{"name":"vm"}"#)
        late.send("ioas.alloc")
        #expect(try late.receive()["result"]?["session"]?["name"]?.stringValue == "vm")
        try bench.handleReady()
        #expect(!late.hasLine && context.objectIDs.count == 1)
        context.slowWork?.open()
        #expect(try first.receive()["result"]?["iova"]?.stringValue == "0x1000")
        #expect(try second.receive()["result"]?["ioas"] != nil)
        #expect(context.calls.starts(with: ["map 4096", "map 4096 ended", "unbind"]))
        context.slowWork?.open()
        #expect(try second.receive()["result"] != nil)
        #expect(try late.receive()["result"]?["ioas"] != nil)
    }

    @Test func whatWasBegunEndsBeforeItsSessionDoes() throws {
        let client = try bench.connect()
        try client.call("ioas.alloc")
        client.send("ioas.map", map)
        client.disconnect()
        try bench.handleReady()
        #expect(context.calls == ["map 4096"] && !context.isClosed)
        #expect(bench.service.sessions.count == 0, "nobody can name it")
        context.slowWork?.open(2)
        try bench.proceed { context.isClosed }
        #expect(context.calls == ["map 4096", "map 4096 ended", "close"])
        #expect(bench.service.sessions.session(context.id) == nil)
    }

    @Test func closingASessionWaitsForItsEnd() throws {
        let (worker, closer) = (try bench.connect(), try bench.connect())
        try worker.call("session.attach", #"{"name":"vm"}"#)
        try worker.call("ioas.alloc")
        let context = context
        worker.send("ioas.map", map)
        closer.send("session.close", #"{"name":"vm"}"#)
        try bench.handleReady()
        #expect(!closer.hasLine)
        let listed = try bench.connect().call("session.list")["sessions"]?.arrayValue ?? []
        #expect(!listed.isEmpty && listed.allSatisfy { $0["name"]?.stringValue != "vm" })
        context.slowWork?.open()
        #expect(try worker.receive()["result"]?["iova"] != nil, "what was begun is answered")
        try bench.handleReady()
        #expect(!closer.hasLine && !context.isClosed)
        context.slowWork?.open()
        #expect(try closer.receive()["result"] != nil)
        #expect(context.isClosed)
        // The connections go on.
        #expect(try worker.id("ioas.alloc", "{}", "ioas") == 1)
    }

    @Test func aCallThatIsThroughAtOnceNeedsNoTurn() throws {
        backend.makeSlowWork = nil
        let client = try bench.connect()
        // Deferred and settled already: the parked call is answered before the handler returns.
        #expect(try client.answer("ioas.map", map)?["result"]?["iova"]?.stringValue == "0x1000")
        #expect(try client.answer("daemon.info")?["result"] != nil, "the connection goes on")
    }

    // MARK: A daemon that stops

    /// A client on a socket of this server.
    private func join(_ server: Server) throws -> RPCClient {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        server.add(Descriptor(adopting: ends[0]))
        return RPCClient(adopting: Descriptor(adopting: ends[1]))
    }

    private func isReadable(_ client: RPCClient) -> Bool {
        var poll = pollfd(fd: client.socket, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) == 1
    }

    private func receive(_ client: RPCClient) throws -> JSONValue {
        try bench.proceed { isReadable(client) }
        return try JSONValue(parsing: try #require(try client.receiveLine()))
    }

    @Test func aDaemonThatStopsWaitsForItAndNotForEver() throws {
        let server = Server(loop: bench.loop, dispatcher: bench.dispatcher)
        server.onConnect = { [bench] in try? bench.service.connected($0) }
        server.onDisconnect = { [bench] in bench.service.disconnected($0) }
        let (patient, client) = (try join(server), try join(server))
        try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc"}"#)
        _ = try receive(client)
        let context = context
        try client.send(line: #"{"jsonrpc":"2.0","id":2,"method":"ioas.map","params":\#(map)}"#)
        try bench.proceed { !context.calls.isEmpty }
        try patient.send(line: #"{"jsonrpc":"2.0","id":1,"method":"daemon.info"}"#)
        #expect(try receive(patient)["result"] != nil)
        var isDrained = false
        let refusal = RPCError(errno: ECANCELED, reason: "daemon_stopping", message: "The daemon is stopping.")
        server.drain(within: 60_000_000_000, refusal: refusal) { isDrained = true }
        try bench.handleReady()
        #expect(!isDrained && !isReadable(client))
        server.cutDrainShort()
        #expect(try receive(client)["error"]?["data"]?["reason"]?.stringValue == "daemon_stopping")
        try bench.proceed { isDrained }
        #expect(!context.isClosed, "its work is still at it")
        context.slowWork?.open(2)
        try bench.proceed { context.isClosed }
    }
}
