import CLinux
import Glibc
import Testing

@testable import JSONRPC

@Suite struct ServerTests {
    let bench: SocketBench

    init() throws { bench = try SocketBench() }

    func ids(_ lines: [String]) throws -> [JSONValue?] { try lines.map { try JSONValue(parsing: $0)["id"] } }

    // MARK: Framing

    @Test func answersAByteAtATime() throws {
        let client = try bench.connect()
        let line = request(7, "note", #"{"text":"añb\u00e9"}"#)
        for byte in Array((line + "\r\n").utf8) {
            try client.send([byte])
            try bench.loop.turn(waiting: false)
        }
        #expect(try client.reply()["result"]?["length"] == .integer(6))
        #expect(bench.bench.calls == ["añbé"])
    }

    @Test func ignoresEmptyLinesAndAnswersManyInOneWrite() throws {
        let client = try bench.connect()
        let lines = (0..<500).map { request($0, "note", #"{"text":"x"}"#) }
        try client.send(Array(("\n\r\n" + lines.joined(separator: "\n\n") + "\n").utf8))
        for index in 0..<500 { #expect(try client.reply()["id"] == .integer(index)) }
    }

    @Test func refusesALongLineOnceAndCloses() throws {
        let client = try bench.connect()
        try client.send(request(1, "note", #"{"text":"before"}"#))
        // Four times the limit: the client is still sending when the server gives up on it.
        try client.send([UInt8](repeating: UInt8(ascii: " "), count: 4 << 20))
        let lines = try client.rest()
        #expect(try ids(lines) == [.integer(1), .null])
        #expect(try JSONValue(parsing: lines[1])["error"]?["code"] == .integer(-32600))
        #expect(bench.ended.count == 1)
    }

    @Test func acceptsALineOfExactlyTheLimit() throws {
        let client = try bench.connect()
        let empty = request(1, "note", #"{"text":""}"#)
        let filler = String(repeating: "x", count: (1 << 20) - empty.utf8.count)
        try client.send(request(1, "note", #"{"text":"\#(filler)"}"#))
        // Longer than the parameter allows, but not too long a line.
        #expect(try client.reply()["error"]?["data"]?["reason"] == .string("too_long"))
        try client.send(request(2, "note", #"{"text":"y"}"#))
        #expect(try client.reply()["result"]?["length"] == .integer(1))
    }

    @Test(arguments: ["{", #"{"a":}"#, "[1,]", "nul", "\u{feff}{}", #""\ud800""#, #"{"jsonrpc":"2.0"} x"#])
    func survivesMalformedLines(line: String) throws {
        let client = try bench.connect()
        try client.send(line)
        let error = try client.reply()
        #expect(error["error"]?["code"] == .integer(-32700))
        #expect(error["id"] == .null)
        try client.send(request(1, "note", #"{"text":"alive"}"#))
        #expect(try client.reply()["id"] == .integer(1))
    }

    // MARK: Closing

    @Test func answersEverythingAfterAHalfClose() throws {
        let client = try bench.connect()
        // The last line has no line end.
        let lines = [request(1, "note", #"{"text":"a"}"#), request(2, "park"), request(3, "note", #"{"text":"b"}"#)]
        try client.send(Array(lines.joined(separator: "\n").utf8))
        client.finishSending()
        try bench.pump { bench.bench.parked.count == 1 }
        try bench.settle()
        #expect(bench.bench.calls == ["a", "park -"])
        #expect(bench.ended.isEmpty)
        bench.bench.parked[0].reply()
        #expect(try ids(try client.rest()) == [.integer(1), .integer(2), .integer(3)])
        try bench.pump { bench.ended.count == 1 }
    }

    @Test func cancelsWhatIsParkedWhenTheClientGoes() throws {
        let client = try bench.connect()
        try client.send(request(1, "park") + "\n" + request(2, "note", #"{"text":"never"}"#))
        try bench.pump { bench.bench.parked.count == 1 }
        client.close()
        try bench.pump { bench.ended.count == 1 }
        #expect(bench.bench.cancelled == 1)
        #expect(bench.bench.calls == ["park -"])
        #expect(!bench.bench.parked[0].reply())
        #expect(bench.server.connectionCount == 0)
    }

    @Test func cancelsWhatParksAfterTheClientHasGone() throws {
        let client = try bench.connect()
        let count = client.sendWithoutServer(Array((request(1, "park") + "\n").utf8))
        #expect(count > 0)
        client.close()
        try bench.pump { bench.ended.count == 1 }
        #expect(bench.bench.cancelled == 1)
    }

    // MARK: Order

    @Test func keepsRepliesInOrderAcrossParkedCalls() throws {
        let client = try bench.connect()
        let other = try bench.connect()
        let batch = "[" + [request(2, "park"), request(3, "note", #"{"text":"c"}"#)].joined(separator: ",") + "]"
        try client.send([request(1, "park"), batch, request(4, "note", #"{"text":"d"}"#)].joined(separator: "\n"))
        try bench.pump { bench.bench.parked.count == 1 }
        try other.send(request(9, "note", #"{"text":"other"}"#))
        #expect(try other.reply()["id"] == .integer(9))
        bench.bench.parked[0].reply()
        #expect(try client.reply()["id"] == .integer(1))
        try bench.pump { bench.bench.parked.count == 2 }
        bench.bench.parked[1].fail(RPCError(errno: EIO, reason: "x", message: "y"))
        let replies = try client.reply()
        #expect(replies[0]?["error"]?["code"] == .integer(-5))
        #expect(replies[1]?["id"] == .integer(3))
        #expect(try client.reply()["id"] == .integer(4))
        #expect(bench.bench.calls == ["park -", "other", "park -", "c", "d"])
    }

    @Test func noReplyOfASlowClientGoesPastTheJournalHook() throws {
        let client = try bench.connect()
        // Whoever does not read is looked after in every turn.
        bench.server.stallInterval = 0
        try client.send(request(1, "blob", #"{"bytes":270000}"#))
        try bench.settle()
        let outbox = bench.connected[0].outbox
        #expect(outbox.pointee.pending > 0 && outbox.pointee.pending < Limits().outputHighWater, "it is behind")
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while recv(client.socket, &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 {}
        #expect(outbox.pointee.pending > 0, "and so is the server")
        client.sendWithoutServer(Array((request(2, "note", #"{"text":"a"}"#) + "\n").utf8))
        var (written, left): ([[String]], [Bool]) = ([], [])
        bench.server.beforeSending = { [bench] in
            written.append(bench.bench.calls)
            left.append(recv(client.socket, &buffer, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) > 0)
            return true
        }
        try bench.loop.turn(waiting: false)
        #expect(written.first == ["a"] && left.first == false, "the reply has left before the hook ran")
    }

    @Test func runsTheJournalHookBeforeAnyReplyOfATurn() throws {
        let client = try bench.connect()
        var written: [[String]] = []
        bench.server.beforeSending = { [bench] in
            written.append(bench.bench.calls)
            return true
        }
        try client.send(request(1, "note", #"{"text":"a"}"#) + "\n" + request(2, "note", #"{"text":"b"}"#))
        #expect(try client.reply()["id"] == .integer(1))
        #expect(written == [["a", "b"]])
    }
}
