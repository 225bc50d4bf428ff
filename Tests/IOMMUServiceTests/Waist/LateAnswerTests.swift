import IOMMU
import JSONRPC
import Testing

/// Calls that a backend answers later, as a kernel's ioctls on a worker are.
@Suite struct LateAnswerTests {
    private let map = #"{"ioas":1,"memory":1,"length":4096,"iova":"0x1000"}"#
    private let unmap = #"{"ioas":1,"iova":"0x1000","length":4096}"#

    @Test func theReplyComesWhenTheBackendIsThrough() throws {
        let bench = try ServedBench()
        let client = try bench.connect()
        #expect(try client.call("ioas.alloc")["result"]?["ioas"]?.intValue == 1)
        let context = bench.context
        client.send("ioas.map", map)
        client.send("ioas.unmap", unmap)
        client.send("session.objects")
        try bench.pump { !context.calls.isEmpty }
        try bench.settle()
        #expect(!client.hasReply && context.calls == ["map 4096"], "nothing overtakes")
        context.slowWork?.open(2)
        #expect(try client.reply()["result"]?["iova"]?.stringValue == "0x1000")
        let refused = try client.reply()["error"]
        #expect(refused?["data"]?["errno"]?.stringValue == "ENOENT" && refused?["data"]?["reason"] != nil)
        #expect(try client.reply()["result"]?["objects"]?.arrayValue?.count == 1)
        #expect(context.calls == ["map 4096", "map 4096 ended", "unmap 4096", "unmap 4096 ended"])
    }

    @Test func aSessionIsServedInOrderAndOthersGoOn() throws {
        let bench = try ServedBench()
        let (first, second, stranger) = (try bench.connect(), try bench.connect(), try bench.connect())
        for client in [first, second] { _ = try client.call("session.attach", #"{"name":"vm"}"#) }
        let context = bench.context
        _ = try first.call("ioas.alloc")
        first.send("ioas.map", map)
        try bench.pump { !context.calls.isEmpty }
        second.send("ioas.alloc")
        second.send("device.unbind", #"{"device":1}"#)
        // The other session is served, in many turns, and the second connection is not.
        for number in 1...20 { #expect(try stranger.call("ioas.alloc")["result"]?["ioas"]?.intValue == number) }
        #expect(!second.hasReply && context.objectIDs.count == 1)
        // Who comes into the session waits as well.
        let late = try bench.connect()
        late.send("session.attach", #"{"name":"vm"}"#)
        late.send("ioas.alloc")
        #expect(try late.reply()["result"]?["session"]?["name"]?.stringValue == "vm")
        try bench.settle()
        #expect(!late.hasReply && context.objectIDs.count == 1)
        context.slowWork?.open()
        #expect(try first.reply()["result"]?["iova"]?.stringValue == "0x1000")
        #expect(try second.reply()["result"]?["ioas"] != nil)
        #expect(context.calls.starts(with: ["map 4096", "map 4096 ended", "unbind"]))
        context.slowWork?.open()
        #expect(try second.reply()["result"] != nil)
        #expect(try late.reply()["result"]?["ioas"] != nil)
    }

    @Test func whatWasBegunEndsBeforeItsSessionDoes() throws {
        let bench = try ServedBench()
        let client = try bench.connect()
        _ = try client.call("ioas.alloc")
        let context = bench.context
        client.send("ioas.map", map)
        try bench.pump { !context.calls.isEmpty }
        client.end()
        try bench.pump { bench.server.connectionCount == 0 }
        try bench.settle()
        #expect(context.calls == ["map 4096"] && !context.isClosed)
        #expect(bench.bench.service.sessions.count == 0, "nobody can name it")
        context.slowWork?.open(2)
        try bench.pump { context.isClosed }
        #expect(context.calls == ["map 4096", "map 4096 ended", "close"])
        #expect(bench.bench.service.sessions.session(context.id) == nil)
    }

    @Test func closingASessionWaitsForItsEnd() throws {
        let bench = try ServedBench()
        let (worker, closer) = (try bench.connect(), try bench.connect())
        _ = try worker.call("session.attach", #"{"name":"vm"}"#)
        _ = try worker.call("ioas.alloc")
        let context = bench.context
        worker.send("ioas.map", map)
        try bench.pump { !context.calls.isEmpty }
        closer.send("session.close", #"{"name":"vm"}"#)
        try bench.settle()
        #expect(!closer.hasReply)
        let listed = try bench.connect().call("session.list")["result"]?["sessions"]?.arrayValue ?? []
        #expect(!listed.isEmpty && listed.allSatisfy { $0["name"]?.stringValue != "vm" })
        context.slowWork?.open()
        #expect(try worker.reply()["result"]?["iova"] != nil, "what was begun is answered")
        try bench.settle()
        #expect(!closer.hasReply && !context.isClosed)
        context.slowWork?.open()
        #expect(try closer.reply()["result"] != nil)
        #expect(context.isClosed)
        // The connections go on.
        #expect(try worker.call("ioas.alloc")["result"]?["ioas"]?.intValue == 1)
    }

    @Test func aDaemonThatStopsWaitsForItAndNotForEver() throws {
        let bench = try ServedBench()
        let (patient, client) = (try bench.connect(), try bench.connect())
        _ = try client.call("ioas.alloc")
        client.send("ioas.map", map)
        let context = bench.context
        try bench.pump { !context.calls.isEmpty }
        patient.send("daemon.info")
        #expect(try patient.reply()["result"] != nil)
        bench.drain()
        try bench.settle()
        #expect(!bench.isDrained && !client.hasReply)
        bench.server.cutDrainShort()
        #expect(try client.reply()["error"]?["data"]?["reason"]?.stringValue == "daemon_stopping")
        try bench.pump { bench.isDrained }
        #expect(!context.isClosed, "its work is still at it")
        context.slowWork?.open(2)
        try bench.pump { context.isClosed }
    }

    @Test func aCallThatIsThroughAtOnceNeedsNoTurn() throws {
        let bench = try ServiceBench(backend: FakeBackend())
        let connection = try bench.connect()
        // Deferred and settled already: the parked call is answered before the handler returns.
        let reply = try bench.send("ioas.map", try JSONValue(parsing: map), on: connection)
        #expect(reply?["result"]?["iova"]?.stringValue == "0x1000")
        #expect(try bench.send("daemon.info", on: connection)?["result"] != nil, "the connection goes on")
    }
}
