import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// Long lists are written in turns, as their client reads them.
@Suite struct UnfinishedReplyTests {
    private let bench: SocketBench
    private let client: SocketClient
    private static let count = 300_000

    init() throws {
        bench = try SocketBench()
        client = try bench.connect()
    }

    private func check(_ reply: JSONValue, _ count: Int) {
        let result = reply["result"]
        #expect(result?["total"] == .integer(count))
        #expect(result?["numbers"]?.arrayValue?.count == count)
        #expect(result?["numbers"]?.arrayValue?.last == (count > 0 ? .integer(count - 1) : nil))
    }

    @Test(arguments: [0, 1, 2, count]) func repliesWithTheWholeList(count: Int) throws {
        try client.send(request(1, "count", #"{"limit":\#(count)}"#))
        try client.send(request(2, "note", #"{"text":"after"}"#))
        check(try client.reply(), count)
        #expect(try client.reply()["id"] == .integer(2))
        #expect(bench.bench.calls == ["count \(count)", "after"])
    }

    @Test func isNotAheadOfItsReaderAndLeavesRoomForOthers() throws {
        let other = try bench.connect()
        try client.send(request(1, "count", #"{"limit":\#(Self.count)}"#))
        try bench.settle()
        let connection = bench.connected[0]
        #expect(connection.unfinished != nil)
        #expect(connection.outbox.pointee.pending < Limits().outputHighWater + 4096)
        // What happens meanwhile does not get into the reply.
        #expect(connection.notify { $0.string("news") })
        try other.send(request(7, "note", #"{"text":"other"}"#))
        #expect(try other.reply()["id"] == .integer(7))
        #expect(bench.bench.calls == ["other"])
        check(try client.reply(), Self.count)
        #expect(try client.line() == "\"news\"")
    }

    @Test func standsInABatchAsOtherRepliesDo() throws {
        let long = request(2, "count", #"{"limit":\#(Self.count)}"#)
        let texts = ["a", "b"].map { #"{"text":"\#($0)"}"# }
        try client.send("[\(request(1, "note", texts[0])),\(long),\(long),\(request(3, "note", texts[1]))]")
        let replies = try #require(try client.reply().arrayValue)
        #expect(replies.compactMap { $0["id"]?.intValue } == [1, 2, 2, 3])
        for reply in replies[1...2] { check(reply, Self.count) }
    }

    private func late(_ id: Int, _ count: Int) -> String { request(id, "count", #"{"limit":\#(count),"late":true}"#) }

    private func answerLate() throws {
        try bench.settle()
        #expect(bench.bench.late.count == 1 && !bench.bench.calls.contains("after"))
        bench.bench.late.removeFirst()()
    }

    @Test(arguments: [0, 1, count]) func whatHasWaitedIsAnsweredSo(count: Int) throws {
        for id in 1...2 { try client.send(late(id, count)) }
        try client.send(request(3, "note", #"{"text":"after"}"#))
        for id in 1...2 {
            try answerLate()
            let reply = try client.reply()
            #expect(reply["id"] == .integer(id))
            check(reply, count)
        }
        #expect(try client.reply()["id"] == .integer(3))
        #expect(bench.bench.cancelled == 0)
    }

    @Test func whatHasWaitedStandsInABatch() throws {
        try client.send("[\(late(1, 3)),\(late(2, 0)),\(request(3, "note", #"{"text":"after"}"#))]")
        for _ in 1...2 { try answerLate() }
        let replies = try #require(try client.reply().arrayValue)
        #expect(replies.compactMap { $0["id"]?.intValue } == [1, 2, 3])
        check(replies[0], 3)
        check(replies[1], 0)
    }

    @Test func whatHasWaitedEndsWithItsConnection() throws {
        try client.send(late(1, Self.count))
        try bench.settle()
        bench.bench.late.removeFirst()()
        client.close()
        try bench.pump { bench.ended == [bench.connected[0].id] }
        #expect(bench.connected[0].unfinished == nil && bench.bench.cancelled == 1)
    }

    @Test func endsWithItsConnection() throws {
        try client.send(request(1, "count", #"{"limit":\#(Self.count)}"#))
        try bench.settle()
        #expect(bench.connected[0].unfinished != nil)
        client.close()
        try bench.pump { bench.ended == [bench.connected[0].id] }
        #expect(bench.connected[0].unfinished == nil)
        #expect(bench.bench.calls.isEmpty)
    }

    @Test func isWrittenAtOnceWhereNobodyTakesTurns() throws {
        let connection = Connection(id: ConnectionID(index: 9, generation: 0), credentials: nil)
        let line = request(1, "count", #"{"limit":\#(Self.count)}"#) + "\n"
        #expect(bench.server.dispatcher.consume(Array(line.utf8), from: connection).isEmpty)
        check(try JSONValue(parsing: connection.takeOutput()), Self.count)
        connection.end()
    }
}
