import Foundation
import JSONRPC
import TestSupport
import Testing

/// Whose events a subscriber is told of, and how they say so.
struct EventMethodTests {
    private let bench: ServiceBench

    init() throws { bench = try ServiceBench() }

    private func nextEvent(_ client: PlayedClient) throws -> JSONValue {
        try #require(try client.nextNotification()["params"])
    }

    @Test func eventsNameTheSessionOrTheConnection() throws {
        let watcher = try bench.connect()
        _ = try watcher.call("events.subscribe", #"{"kinds":["device","vsmmu_event"],"all":true}"#)
        let (first, second) = (try bench.connect(), try bench.connect())
        let numbers = try [watcher, first, second].map { try $0.id("daemon.info", "{}", "connection") }
        #expect(Set(numbers).count == 3)
        _ = try second.call("session.attach", #"{"name":"vm"}"#)
        // Each has a vsmmu 1, whose stream table is not there.
        for client in [first, second] {
            #expect(try client.id("vsmmu.create", "{}", "vsmmu") == 1)
            try enableEvents(client)
            let fault = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":5,"iova":"0x0"}"#)
            #expect(fault["event"]?["recorded"]?.boolValue == true, "\(fault.text)")
        }
        let (one, other) = (try nextEvent(watcher), try nextEvent(watcher))
        #expect(one["kind"]?.stringValue == "vsmmu_event" && one["vsmmu"] == other["vsmmu"])
        #expect(one["connection"]?.intValue == numbers[1] && one["session"] == nil)
        #expect(other["session"]?.stringValue == "vm" && other["connection"] == nil)
        #expect(other["owner_uid"]?.intValue == Int(getuid()))
        _ = try second.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        let bound = try nextEvent(watcher)
        #expect(bound["action"]?.stringValue == "bound" && bound["session"]?.stringValue == "vm")
        // What ends with its session still says whose it was.
        _ = try second.call("session.close")
        let unbound = try nextEvent(watcher)
        #expect(unbound["action"]?.stringValue == "unbound" && unbound["session"]?.stringValue == "vm")
    }

    /// An event queue of 16 records in memory of the client; stream table and command queue are elsewhere.
    private func enableEvents(_ client: PlayedClient) throws {
        let memory = try client.id("memory.create", #"{"size":4096}"#, "memory")
        try client.call("vsmmu.memory", #"{"vsmmu":1,"memory":\#(memory),"length":4096,"gpa":"0x1000"}"#)
        let writes: [(String, Int, String)] = [("0xa0", 8, "0x1004"), ("0x88", 4, "0x4"), ("0x20", 4, "0x5")]
        for (offset, size, value) in writes {
            try client.call(
                "vsmmu.mmio_write", #"{"vsmmu":1,"offset":"\#(offset)","size":\#(size),"value":"\#(value)"}"#)
        }
    }

    @Test func othersSessionsAreToldOfOnlyWhereAsked() throws {
        let (watcher, other) = (try bench.connect(), try bench.connect())
        let number = try watcher.id("daemon.info", "{}", "connection")
        _ = try watcher.call("events.subscribe", #"{"kinds":["device"]}"#)
        _ = try other.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        _ = try watcher.call("device.bind", #"{"name":"0000:05:00.0"}"#)
        let own = try nextEvent(watcher)
        #expect(own["name"]?.stringValue == "0000:05:00.0" && own["sequence"]?.intValue == 1)
        #expect(own["connection"]?.intValue == number)
        // A device that comes is nobody's.
        _ = try other.call("device.add", #"{"name":"late","smmu":"smmu0","stream_ids":[9]}"#)
        let added = try nextEvent(watcher)
        #expect(added["action"]?.stringValue == "added" && added["sequence"]?.intValue == 2)
        #expect(added["session"] == nil && added["connection"] == nil)
        // The second call replaces the first, and the third the second.
        _ = try watcher.call("events.subscribe", #"{"kinds":["device"],"all":true}"#)
        _ = try other.call("device.unbind", #"{"device":1}"#)
        #expect(try nextEvent(watcher)["name"]?.stringValue == "0000:01:00.0")
        _ = try watcher.call("events.subscribe", #"{"kinds":["device"]}"#)
        _ = try other.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        _ = try watcher.call("device.unbind", #"{"device":1}"#)
        #expect(try nextEvent(watcher)["name"]?.stringValue == "0000:05:00.0")
    }
}
