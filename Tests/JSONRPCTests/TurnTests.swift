import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// Whoever asks for much does it in turns, and others get theirs in between.
@Suite struct TurnTests {
    private let bench: SocketBench
    private let busy: SocketClient
    private let other: SocketClient
    private static let count = 1000
    private static let long = #"{"jsonrpc":"2.0","method":"rpc.discover"}"#

    init() throws {
        bench = try SocketBench()
        busy = try bench.connect()
        other = try bench.connect()
    }

    /// Sends all of the bytes, and a question of the other client, before the server reads any of it.
    private func sendBoth(_ text: String) throws {
        let bytes = Array(text.utf8)
        try #require(busy.sendWithoutServer(bytes) == bytes.count)
        let question = Array((request(7, "note", #"{"text":"other"}"#) + "\n").utf8)
        try #require(other.sendWithoutServer(question) == question.count)
    }

    @Test func aBatchStopsWhenItsTurnIsOver() throws {
        let list = Array(repeating: Self.long, count: Self.count) + [request(1, "note", #"{"text":"end"}"#)]
        try sendBoth("[" + list.joined(separator: ",") + "]\n")
        #expect(try other.reply()["id"] == .integer(7))
        #expect(bench.connected[0].batch != nil)
        #expect(bench.bench.calls == ["other"])
        #expect(try busy.reply().arrayValue?.compactMap { $0["id"]?.intValue } == [1])
        #expect(bench.connected[0].batch == nil)
        #expect(bench.bench.calls == ["other", "end"])
    }

    @Test func aRowOfRequestsStopsWhenItsTurnIsOver() throws {
        let lines = Array(repeating: Self.long, count: Self.count) + [request(1, "note", #"{"text":"end"}"#)]
        try sendBoth(lines.joined(separator: "\n") + "\n")
        #expect(try other.reply()["id"] == .integer(7))
        #expect(bench.bench.calls.first == "other")
        #expect(try busy.reply()["id"] == .integer(1))
        #expect(bench.bench.calls == ["other", "end"])
    }

    /// What has been sent before the end is carried out, also if it takes many turns.
    @Test func whoGoesAwayHasBeenHeard() throws {
        let list =
            Array(repeating: Self.long, count: Self.count) + [
                #"{"jsonrpc":"2.0","method":"note","params":{"text":"end"}}"#
            ]
        try sendBoth("[" + list.joined(separator: ",") + "]\n")
        busy.close()
        #expect(try other.reply()["id"] == .integer(7))
        try bench.pump { bench.ended == [bench.connected[0].id] }
        #expect(bench.bench.calls == ["other", "end"])
    }

    /// Nobody is there any more for whom a call could wait.
    @Test func whoGoesAwayWaitsForNothing() throws {
        let list = Array(repeating: Self.long, count: Self.count) + [request(1, "park")]
        try sendBoth("[" + list.joined(separator: ",") + "]\n")
        busy.close()
        try bench.pump { bench.ended == [bench.connected[0].id] }
        #expect(bench.bench.cancelled == bench.bench.parked.count)
    }

    @Test func turnsAreMeasuredByMethod() throws {
        try busy.send(request(3, "rpc.discover"))
        #expect(try busy.reply()["id"] == .integer(3))
        try bench.settle()
        let turns = bench.loop.meter.pointee.statistics
        #expect(turns.buckets.reduce(0, +) >= 50)
        let method = try #require(bench.server.dispatcher.declarations.firstIndex { $0.title == "rpc.discover" })
        #expect(turns.longest[.method(method), default: 0] > 0)
    }
}
