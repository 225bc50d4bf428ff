import Testing

@testable import JSONRPC

/// Connections whose requests the service holds back.
@Suite struct HeldConnectionTests {
    private let map = request(1, "ioas.map", #"{"ioas":1,"length":4096,"access":[]}"#)

    @Test func nothingIsBegunUntilItIsReleased() throws {
        let bench = try SocketBench()
        let (client, other) = (try bench.connect(), try bench.connect())
        bench.connected[0].isHeld = true
        try client.send(map)
        try client.send("[\(map),\(map)]")
        try client.send(map)
        try other.send(map)
        #expect(try other.reply()["result"] != nil)
        try bench.settle()
        #expect(bench.bench.calls.count == 1)
        bench.connected[0].isHeld = false
        #expect(try client.reply()["result"] != nil)
        #expect(try client.reply().arrayValue?.count == 2)
        #expect(try client.reply()["result"] != nil)
        #expect(bench.bench.calls.count == 5)
    }

    @Test func whatAHeldClientSendsStaysInItsSocket() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        bench.connected[0].isHeld = true
        let lines = Array(String(repeating: map + "\n", count: 1000).utf8)
        var (taken, refusals) = (0, 0)
        // As much as the socket takes, again and again: what the server read would make room for more.
        while refusals < 3 {
            let count = client.sendWithoutServer(lines)
            if count > 0 { taken += count } else { refusals += 1 }
            try bench.settle()
            guard taken < 64 << 20 else { return #expect(Bool(false), "it is read without end") }
        }
        #expect(bench.bench.calls.isEmpty)
    }

    @Test func aClientThatEndsIsNotWaitedFor() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        bench.connected[0].isHeld = true
        try client.send(map)
        try bench.settle()
        client.close()
        try bench.pump { !bench.ended.isEmpty }
        #expect(bench.bench.calls.isEmpty)
    }

    @Test func halfClosedItIsAnsweredOnceItIsReleased() throws {
        let bench = try SocketBench()
        let client = try bench.connect()
        bench.connected[0].isHeld = true
        try client.send(map)
        client.finishSending()
        try bench.settle()
        #expect(bench.ended.isEmpty)
        bench.connected[0].isHeld = false
        #expect(try client.reply()["result"] != nil)
        #expect(try client.line() == nil)
    }
}
