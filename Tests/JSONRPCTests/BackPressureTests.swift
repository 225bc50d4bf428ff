import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// A client that does not read, or sends more than can be carried out, costs a bounded amount of memory.
@Suite struct BackPressureTests {
    @Test func pausesAClientThatDoesNotRead() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        let count = 60
        let lines = (0..<count).map { request($0, "blob", #"{"bytes":50000}"#) }.joined(separator: "\n") + "\n"
        try client.send(Array(lines.utf8))
        try bench.settle()
        let outbox = bench.connected[0].outbox
        let perReply = 70_000
        #expect(outbox.pointee.pending > 0)
        #expect(outbox.pointee.pending < Limits().outputHighWater + perReply)
        for id in 0..<count { #expect(try client.reply()["id"] == .integer(id)) }
    }

    @Test func streamsTheRepliesOfABatch() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        let count = 60
        let batch = "[" + (0..<count).map { request($0, "blob", #"{"bytes":30000}"#) }.joined(separator: " , ") + " ]"
        try client.send(batch + "\n" + request(count, "note", #"{"text":"after"}"#))
        try bench.settle()
        #expect(bench.connected[0].batch != nil)
        #expect(bench.connected[0].outbox.pointee.pending < Limits().outputHighWater + 50_000)
        let replies = try client.reply()
        #expect(replies.arrayValue?.compactMap { $0["id"]?.intValue } == Array(0..<count))
        #expect(try client.reply()["id"] == .integer(count))
    }

    @Test func dropsAClientThatStallsForTooLong() throws {
        var limits = Limits()
        limits.stalledClientSeconds = 1
        let bench = try SocketBench(limits: limits)
        let client = try bench.connect()
        let other = try bench.connect()
        var stalled: [ConnectionID] = []
        bench.server.onStall = { stalled.append($0.id) }
        try client.send(request(1, "blob", #"{"bytes":4000000}"#))
        try bench.pump { bench.ended.count == 1 }
        #expect(stalled == bench.ended)
        #expect(bench.ended == [bench.connected[0].id])
        try other.send(request(1, "note", #"{"text":"x"}"#))
        #expect(try other.reply()["id"] == .integer(1))
    }

    @Test func keepsASlowClientThatMakesProgress() throws {
        var limits = Limits()
        limits.stalledClientSeconds = 2
        let bench = try SocketBench(limits: limits)
        let client = try bench.connect()
        try client.send(request(1, "blob", #"{"bytes":6000000}"#))
        try bench.settle()
        let began = MonotonicClock.nanoseconds
        var bytes = 0
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        // A little each tenth of a second, for longer than the limit.
        var next = began
        try bench.pump {
            guard MonotonicClock.nanoseconds >= next else { return false }
            next += 100_000_000
            let count = read(client.socket, &buffer, buffer.count)
            if count > 0 { bytes += count }
            return MonotonicClock.nanoseconds - began > 3_000_000_000
        }
        #expect(bench.ended.isEmpty)
        #expect(bytes > 0)
    }

    @Test func losesNotificationsOfASlowClientAndSaysSo() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        let connection = bench.connected[0]
        var sent = 0
        let padding = String(repeating: "x", count: 200)
        func event(_ json: JSONWriter) {
            json.object { event in
                event.member("sequence").integer(sent)
                event.member("padding").string(padding)
            }
        }
        while sent < 100_000, connection.notify(event) {
            sent += 1
            if sent % 100 == 0 { try bench.loop.turn(waiting: false) }
        }
        #expect(sent > 1000)
        #expect(sent < 100_000)
        try client.send(request(1, "note", #"{"text":"x"}"#))
        // The reply may overtake notifications that were not yet on their way.
        let messages = try (0...sent).map { _ in try client.reply() }
        #expect(messages.compactMap { $0["sequence"]?.intValue } == Array(0..<sent))
        #expect(messages.compactMap { $0["id"]?.intValue } == [1])
        #expect(connection.notify { $0.object { _ in } })
        #expect(try client.reply() == .object([]))
    }

    @Test func keepsNotificationsOutOfABatch() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        try client.send("[" + request(1, "note", #"{"text":"x"}"#) + "," + request(2, "park") + "]")
        try bench.pump { bench.bench.parked.count == 1 }
        #expect(bench.connected[0].notify { $0.string("event") })
        try bench.settle()
        bench.bench.parked[0].reply()
        #expect(try client.reply()[1]?["id"] == .integer(2))
        #expect(try client.reply() == .string("event"))
    }

    @Test func leavesClientsBeyondTheLimitInTheQueue() throws {
        var limits = Limits()
        limits.connections = 2
        let bench = try SocketBench(limits: limits)
        let first = try bench.connect()
        let second = try bench.connect()
        defer { second.close() }
        let third = try SocketClient(bench)
        try third.send(request(1, "note", #"{"text":"third"}"#))
        try bench.settle()
        #expect(bench.server.connectionCount == 2)
        first.close()
        #expect(try third.reply()["id"] == .integer(1))
        // The place is taken again, under another name.
        #expect(bench.connected[2].id.index == bench.connected[0].id.index)
        #expect(bench.connected[2].id != bench.connected[0].id)
    }

    /// Sends as many of the lines as the server and the socket take while the server does not go on.
    ///
    /// - Returns: the whole ones among them.
    private func fill(_ client: SocketClient, _ lines: [UInt8], _ bench: SocketBench) throws -> Int {
        var sent = 0
        var refusals = 0
        while refusals < 20, sent < lines.count {
            let count = client.sendWithoutServer(Array(lines[sent...]))
            if count > 0 { sent += count } else { refusals += 1 }
            try bench.loop.turn(waiting: false)
        }
        #expect(sent < lines.count, "the server has read on")
        return lines[..<sent].count { $0 == UInt8(ascii: "\n") }
    }

    /// A socket tells of its input once: what is left in it must not be forgotten.
    @Test func readsWhatWaitedInTheSocketBehindAParkedCall() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        try client.send(request(0, "park"))
        try bench.pump { bench.bench.parked.count == 1 }
        let lines = (1...40_000).map { request($0, "note", #"{"text":"x"}"#) + "\n" }.joined()
        let whole = try fill(client, Array(lines.utf8), bench)
        #expect(whole > 1000)
        bench.bench.parked[0].reply()
        for id in 0...whole { #expect(try client.reply()["id"] == .integer(id)) }
    }

    @Test func readsWhatWaitedInTheSocketOfAClientThatDidNotRead() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        let text = String(repeating: "x", count: 1000)
        let lines = (0..<4000).map { request($0, "sum", #"{"pairs":[{"direction":"write","value":1}]}"#) }
            .enumerated().map { $0.offset % 2 == 0 ? $0.element : request($0.offset, "note", #"{"text":"\#(text)"}"#) }
        // Every reply that asks for much output comes early, so that the server stops with most of the input unread.
        let early = (0..<8).map { request(-1 - $0, "blob", #"{"bytes":100000}"#) }
        let input = Array((early + lines).map { $0 + "\n" }.joined().utf8)
        let whole = try fill(client, input, bench)
        #expect(whole > early.count + 100)
        #expect(bench.connected[0].outbox.pointee.pending > 0)
        for id in 0..<early.count { #expect(try client.reply()["id"] == .integer(-1 - id)) }
        for id in 0..<whole - early.count { #expect(try client.reply()["id"] == .integer(id)) }
    }

    @Test func boundsWhatIsReadWhileACallIsParked() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        try client.send(request(1, "park"))
        try bench.pump { bench.bench.parked.count == 1 }
        let filler = [UInt8](repeating: UInt8(ascii: "\n"), count: 1 << 20)
        var accepted = 0
        var refusals = 0
        // The socket's own buffer is all that takes bytes now.
        while refusals < 20 {
            let sent = client.sendWithoutServer(filler)
            if sent > 0 { accepted += sent } else { refusals += 1 }
            try bench.loop.turn(waiting: false)
        }
        #expect(accepted < 4 << 20)
        bench.bench.parked[0].reply()
        #expect(try client.reply()["id"] == .integer(1))
    }
}
