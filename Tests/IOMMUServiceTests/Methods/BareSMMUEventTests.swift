import Foundation
import JSONRPC
import TestSupport
import Testing

/// What the VMM of a bare SMMU is told, and when.
struct BareSMMUEventTests {
    private typealias Program = BareSMMUProgram<PlayedClient>

    private let bench: ServiceBench
    private let client: PlayedClient
    private let smmu: Program
    private static let sync: (UInt64, UInt64) = (0x46, 0)

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
        try client.call("session.attach", #"{"name":"vm"}"#)
        smmu = try Program(client)
    }

    /// The lines up to the reply, which is the last of them.
    private func lines(_ request: (method: String, params: String), on client: PlayedClient) throws -> [JSONValue] {
        client.send(request.method, request.params)
        var lines: [JSONValue] = []
        repeat { lines.append(try client.receive()) } while lines.last?["method"] != nil
        return lines.map { $0["params"] ?? $0 }
    }

    private func lines(_ request: (method: String, params: String)) throws -> [JSONValue] {
        try lines(request, on: client)
    }

    private func translate(_ address: String, _ more: String = "") -> (method: String, params: String) {
        ("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"\#(address)"\#(more)}"#)
    }

    // MARK: Invalidations

    @Test func invalidationsComeBeforeTheReplyAndWithoutASubscription() throws {
        try smmu.bringUp()
        // TLBI_NH_VA of ASID 9 and VMID 3 at 0x5000, CFGI_STE of stream 5, ATC_INV of 16 pages.
        let told = try lines(
            smmu.queue([
                (9 << 48 | 3 << 32 | 0x12, 0x5001), Self.sync, (5 << 32 | 0x3, 1), (5 << 32 | 0x40, 0x1234_0004),
                Self.sync,
            ]))
        try #require(told.count == 4)
        #expect(told.map { $0["kind"]?.stringValue } == Array(repeating: "vsmmu_invalidate", count: 3) + [nil])
        #expect(told.map { $0["scope"]?.stringValue } == ["range", "config", "range", nil])
        #expect(told.map { $0["sequence"]?.intValue } == [1, 2, 3, nil])
        let range = told[0]
        #expect(range["vsmmu"]?.intValue == 1 && range["session"]?.stringValue == "vm")
        #expect(range["asid"]?.intValue == 9 && range["vmid"]?.intValue == 3 && range["leaf"]?.boolValue == true)
        #expect(range["start"]?.stringValue == "0x5000" && range["last"]?.stringValue == "0x5fff")
        #expect(range["ats"]?.boolValue == false && range["stream_id"] == nil)
        #expect(told[1]["stream_id"]?.intValue == 5 && told[1]["substream_id"] == nil)
        #expect(told[2]["ats"]?.boolValue == true && told[2]["last"]?.stringValue == "0x1234ffff")
        #expect(try smmu.read(0x9c) == 5)
    }

    /// The other connection has no part in it, and gets copies if it has subscribed.
    @Test func othersGetCopies() throws {
        let (watcher, other) = (try bench.connect(), try bench.connect())
        for client in [watcher, other] { try client.call("session.attach", #"{"name":"vm"}"#) }
        try watcher.call("events.subscribe", #"{"kinds":["vsmmu_invalidate"]}"#)
        try smmu.bringUp()
        #expect(try lines(smmu.queue([(0x30, 0), Self.sync])).count == 2)
        #expect(try watcher.nextNotification()["params"]?["scope"]?.stringValue == "all")
        #expect(!other.hasLine && !watcher.hasLine)
    }

    /// A subscriber that is the VMM itself is told once, and counts on.
    @Test func aSubscribedVMMIsToldOnce() throws {
        try smmu.bringUp()
        try client.call("events.subscribe")
        #expect(try lines(smmu.queue([(0x30, 0), Self.sync])).map { $0["sequence"]?.intValue } == [1, nil])
        #expect(try lines(smmu.queue([(0x30, 0)], behind: 2)).map { $0["sequence"]?.intValue } == [2, nil])
        #expect(!client.hasLine)
    }

    /// In a batch the events stand before the array of replies.
    @Test func inABatchTheyComeBeforeTheArray() throws {
        try smmu.bringUp()
        let write = smmu.queue([(0x30, 0), Self.sync]).params
        let read = #"{"vsmmu":1,"offset":"0x9c","size":4}"#
        try client.send(
            line: #"[{"jsonrpc":"2.0","id":1,"method":"vsmmu.mmio_read","params":\#(read)},"#
                + #"{"jsonrpc":"2.0","id":2,"method":"vsmmu.mmio_write","params":\#(write)},"#
                + #"{"jsonrpc":"2.0","id":3,"method":"vsmmu.mmio_read","params":\#(read)}]"#)
        #expect(try client.receive()["params"]?["scope"]?.stringValue == "all")
        let replies = try client.receive()
        #expect(replies.arrayValue?.map { $0["id"]?.intValue } == [1, 2, 3])
        #expect(replies[0]?["result"]?["value"]?.stringValue == "0x0")
        #expect(replies[2]?["result"]?["value"]?.stringValue == "0x2")
    }

    // MARK: Reading slowly

    /// A CMD_SYNC completes when the client has what is before it; so does the reply.
    @Test func aSyncWaitsForTheReader() throws {
        try smmu.bringUp()
        let other = try bench.connect()
        try other.call("session.attach", #"{"name":"vm"}"#)
        func consumed() throws -> UInt64? {
            try other.call("vsmmu.mmio_read", #"{"vsmmu":1,"offset":"0x9c","size":4}"#)["value"]?.unsignedValue
        }
        let request = smmu.queue([(0x30, 0), Self.sync])
        client.isReading = false
        client.send(request.method, request.params)
        try bench.handleReady()
        #expect(try consumed() == 1)
        client.isReading = true
        #expect(try client.receive()["params"]?["kind"]?.stringValue == "vsmmu_invalidate")
        #expect(try client.receive()["result"] != nil)
        #expect(try consumed() == 2)
    }

    /// Another connection's write comes after it, its translations do not.
    @Test func writesOfSeveralConnectionsComeOneAfterTheOther() throws {
        try smmu.bringUp()
        let other = try bench.connect()
        try other.call("session.attach", #"{"name":"vm"}"#)
        let request = smmu.queue([(0x30, 0), Self.sync])
        client.isReading = false
        client.send(request.method, request.params)
        #expect(try other.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":9,"iova":0}"#)["event"] != nil)
        other.send("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x20","size":4,"value":0}"#)
        try bench.handleReady()
        #expect(!other.hasLine)
        client.isReading = true
        try bench.handleReady()
        #expect(try other.receive()["result"] != nil)
        #expect(try smmu.read(0x9c) == 2 && smmu.read(0x20) == 0)
    }

    /// Who comes after a client that could not be told is told that something is missing.
    @Test func whatAGoneClientWasNotToldIsLost() throws {
        try smmu.bringUp()
        let other = try bench.connect()
        try other.call("session.attach", #"{"name":"vm"}"#)
        let request = smmu.queue([(0x30, 0), Self.sync, (1 << 32 | 0x3, 1), Self.sync])
        client.isReading = false
        client.send(request.method, request.params)
        client.disconnect()
        try bench.handleReady()
        let told = try lines(translate("0x0"), on: other)
        #expect(told.map { $0["kind"]?.stringValue } == ["lost", nil])
        #expect(told[0]["count"]?.intValue == 1)
        #expect(
            try other.call("vsmmu.mmio_read", #"{"vsmmu":1,"offset":"0x9c","size":4}"#)["value"]?.unsignedValue == 4)
        #expect(try lines(translate("0x0"), on: other).count == 1)
    }
}
