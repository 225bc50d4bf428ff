import CLinux
import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// A server that stops: what it still answers, and that it does stop.
@Suite struct DrainTests {
    private let bench: SocketBench
    private let refusal = RPCError(errno: ECANCELED, reason: "stopping", message: "It stops.", hint: "Come again.")

    init() throws { bench = try SocketBench() }

    @Test func waitsForWhatIsUnderWay() throws {
        let client = try bench.connect()
        let idle = try bench.connect()
        try client.send(request(1, "park"))
        try bench.pump { bench.bench.parked.count == 1 }
        var isDrained = false
        bench.server.drain(within: 60_000_000_000, refusal: refusal) { isDrained = true }
        #expect(try idle.rest().isEmpty)
        #expect(!isDrained)
        bench.bench.parked[0].reply()
        #expect(try client.rest().map { try JSONValue(parsing: $0)["id"] } == [.integer(1)])
        try bench.pump { isDrained }
        #expect(access(bench.path, F_OK) != 0)
    }

    /// Each message is a read of its own.
    @Test func answersAllThatHasArrivedWithDescriptors() throws {
        let client = try bench.connect()
        let witness = try Witness()
        for id in 0..<10 {
            client.sendWithoutServer(Array((request(id, "fd.take") + "\n").utf8), descriptors: [witness.write])
        }
        witness.closeWrite()
        var isDrained = false
        bench.server.drain(within: 60_000_000_000, refusal: refusal) { isDrained = true }
        let replies = try client.rest().map { try JSONValue(parsing: $0) }
        #expect(replies.map { $0["id"] } == (0..<10).map { .integer($0) })
        #expect(replies.allSatisfy { $0["result"] != nil })
        try bench.pump { isDrained && witness.isAbandoned }
    }

    @Test func refusesWhatStillWaitsWhenTheTimeIsUp() throws {
        let client = try bench.connect()
        try client.send(request(1, "park") + "\n" + request(2, "note", #"{"text":"never"}"#))
        try bench.pump { bench.bench.parked.count == 1 }
        var isDrained = false
        bench.server.drain(within: 0, refusal: refusal) { isDrained = true }
        try bench.pump { isDrained }
        let replies = try client.rest().map { try JSONValue(parsing: $0) }
        #expect(replies.map { $0["id"] } == [.integer(1)])
        #expect(replies.first?["error"]?["code"] == .integer(-Int(ECANCELED)))
        let data = replies.first?["error"]?["data"]
        #expect(data?["reason"] == .string("stopping"))
        #expect(data?["method"] == .string("park"))
        #expect(data?["hint"] == .string("Come again."))
        #expect(bench.bench.calls == ["park -"])
        // The work is ended, and its late answer goes nowhere.
        #expect(bench.bench.cancelled == 1)
        #expect(!bench.bench.parked[0].reply())
        #expect(bench.server.connectionCount == 0)
    }

    /// Accepting fails on a socket that does not listen, as it does where descriptors have run out.
    @Test func aListenerThatFailedIsNotTriedAgain() throws {
        let socket = clinux_unix_socket(true)
        try #require(socket >= 0)
        try bench.server.listen(on: UnixListener(adopting: Descriptor(adopting: socket)))
        try bench.settle()
        var isDrained = false
        bench.server.drain(within: 0, refusal: refusal) { isDrained = true }
        try bench.pump { isDrained }
        // By then every attempt that was planned is due.
        var isOver = false
        bench.loop.schedule(after: 200_000_000) { isOver = true }
        try bench.pump { isOver }
        #expect(bench.server.connectionCount == 0)
    }

    @Test func aBatchThatIsCutShortIsStillJSON() throws {
        let client = try bench.connect()
        let calls = [request(1, "note", #"{"text":"a"}"#), request(2, "park"), request(3, "note", #"{"text":"b"}"#)]
        try client.send("[" + calls.joined(separator: ",") + "]")
        try bench.pump { bench.bench.parked.count == 1 }
        var isDrained = false
        bench.server.drain(within: 60_000_000_000, refusal: refusal) { isDrained = true }
        try bench.settle()
        #expect(!isDrained)
        bench.server.cutDrainShort()
        #expect(isDrained)
        let replies = try client.reply()
        #expect(replies.arrayValue?.map { $0["id"] } == [.integer(1), .integer(2)])
        #expect(replies[1]?["error"]?["data"]?["reason"] == .string("stopping"))
        #expect(try client.line() == nil)
    }

    @Test func aClientThatDoesNotReadHoldsNothingUp() throws {
        let client = try bench.connect()
        try client.send(request(1, "blob", #"{"bytes":4000000}"#))
        try bench.settle()
        #expect(bench.connected[0].outbox.pointee.pending > 0)
        bench.server.drain(within: 60_000_000_000, refusal: refusal) {}
        bench.server.cutDrainShort()
        #expect(bench.server.connectionCount == 0)
    }
}
