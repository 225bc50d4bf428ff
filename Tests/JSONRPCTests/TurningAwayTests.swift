import Glibc
import Testing

@testable import JSONRPC

/// Clients that are not let in are told why, and cost next to nothing.
@Suite struct TurningAwayTests {
    private let bench: SocketBench
    private let refusal = RPCError(errno: EDQUOT, reason: "too_many", message: "There are too many.", hint: "Wait.")

    init() throws {
        bench = try SocketBench()
        bench.server.onConnect = { [unowned bench, refusal] in bench.server.turnAway($0.id, refusal) }
    }

    private func expectRefusal(_ client: SocketClient) throws {
        let reply = try client.reply()
        #expect(reply["id"] == .null)
        #expect(reply["error"]?["code"] == .integer(-Int(EDQUOT)))
        #expect(reply["error"]?["data"]?["reason"] == .string("too_many"))
        #expect(reply["error"]?["data"]?["hint"] == .string("Wait."))
        #expect(try client.line() == nil)
    }

    @Test func aSilentClientIsTold() throws { try expectRefusal(try SocketClient(bench)) }

    @Test func aClientThatHasSentIsToldAndNotAnswered() throws {
        let client = try SocketClient(bench)
        let line = request(1, "note", #"{"text":"never"}"#) + "\n"
        #expect(client.sendWithoutServer(Array(line.utf8)) == line.utf8.count)
        try bench.pump { bench.ended.count == 1 }
        // It still sends, without being told by an error of its socket before it reads.
        #expect(client.sendWithoutServer(Array(line.utf8)) == line.utf8.count)
        try expectRefusal(client)
        #expect(bench.bench.calls.isEmpty)
        client.close()
        try bench.pump { bench.server.connectionCount == 0 }
    }

    @Test func clientsThatNeverReadDoNotPileUp() throws {
        let clients = try (0..<40).map { _ in try SocketClient(bench) }
        try bench.pump { bench.ended.count == clients.count }
        #expect(bench.server.connectionCount <= 16)
        for client in clients { try expectRefusal(client) }
        // Whoever notices leaves room for the next.
        for client in clients { client.close() }
        try bench.pump { bench.server.connectionCount == 0 }
        let late = try SocketClient(bench)
        try bench.pump { bench.ended.count == clients.count + 1 }
        #expect(bench.server.connectionCount <= 1)
        try expectRefusal(late)
    }
}
