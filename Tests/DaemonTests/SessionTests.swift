import Foundation
import JSONRPC
import TestSupport
import Testing

/// Sessions end with their connections or outlive them.
struct SessionTests {
    @Test func aPrivateSessionGoesWithItsConnection() throws {
        let daemon = try RunningDaemon()
        let watcher = try daemon.connect()
        _ = try watcher.call("events.subscribe", #"{"kinds":["device"],"all":true}"#)
        do {
            let client = try daemon.connect()
            let ioas = try client.id("ioas.alloc", "{}", "ioas")
            let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
            try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        }
        while try watcher.nextNotification()["params"]?["action"]?.stringValue != "unbound" {}
        let entry = "the session of user \(getuid()) that had device 0000:01:00.0 has ended"
        #expect(daemon.process.text.components(separatedBy: entry).count == 2)
        #expect(try watcher.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device") == 1)
        // Given back by its owner, a device is not said to end with the session as well.
        try watcher.call("device.unbind", #"{"device":1}"#)
        #expect(daemon.stop() == 0)
        #expect(daemon.process.text.components(separatedBy: entry).count == 2)
    }

    @Test func aNamedSessionOutlivesItsConnections() throws {
        let daemon = try RunningDaemon()
        do {
            let client = try daemon.connect()
            let attached = try client.call("session.attach", #"{"name":"vm1"}"#)
            #expect(attached["session"]?["name"]?.stringValue == "vm1")
            #expect(attached["session"]?["owner_uid"]?.intValue == Int(getuid()))
            _ = try client.call("ioas.alloc")
        }
        let client = try daemon.connect()
        try client.expect(ENOENT, "no_such_session", "session.attach", #"{"name":"vm2","create":false}"#)
        let attached = try client.call("session.attach", #"{"name":"vm1","create":false}"#)
        #expect(attached["session"]?["objects"]?.intValue == 1)
        #expect(try client.call("session.objects")["objects"]?[0]?["kind"]?.stringValue == "ioas")
        let other = try daemon.connect()
        _ = try other.call("events.subscribe")
        _ = try other.call("session.attach", #"{"name":"vm1"}"#)
        let listed = try #require(try other.call("session.list")["sessions"]?.arrayValue)
        let entry = try #require(listed.first { $0["name"]?.stringValue == "vm1" })
        #expect(entry["connections"]?.intValue == 2)
        #expect(entry["objects"]?.intValue == 1)
        try client.call("session.close", "{}")
        let event = try other.nextNotification()["params"]
        #expect(event?["kind"]?.stringValue == "session")
        #expect(event?["change"]?.stringValue == "closed")
        #expect(event?["session"]?.stringValue == "vm1")
        #expect(event?["sequence"]?.intValue == 1)
        #expect(event?["time"]?.stringValue?.hasSuffix("Z") == true)
        // Both go on with private sessions.
        #expect(try other.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
        #expect(try other.id("ioas.alloc", "{}", "ioas") == 1)
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 1)
    }

    @Test func aSlowSubscriberIsToldWhatItLostAndHoldsNobodyUp() throws {
        let daemon = try RunningDaemon(configuration: "[limits]\nevent_queue_depth = 4\n")
        let slow = try daemon.connect()
        _ = try slow.call("events.subscribe", #"{"kinds":["device"],"all":true}"#)
        let busy = try daemon.connect()
        let rounds = 3000
        var lines = ""
        for _ in 0..<rounds {
            lines += #"{"jsonrpc":"2.0","method":"device.bind","params":{"name":"0000:01:00.0"}}"# + "\n"
            lines += #"{"jsonrpc":"2.0","method":"device.unbind","params":{"device":1}}"# + "\n"
        }
        try busy.send(bytes: Array(lines.utf8))
        let figures = try busy.call("daemon.stats")
        #expect(figures["requests"]?["device.unbind"]?.intValue == rounds)
        let lost = try #require(figures["counters"]?["events_lost_total"]?.intValue)
        #expect(lost > 0)
        var seen = 0
        var counted = 0
        var sequence = 0
        while seen + counted < 2 * rounds {
            let event = try #require(try slow.nextNotification()["params"])
            sequence += 1
            #expect(event["sequence"]?.intValue == sequence)
            if event["kind"]?.stringValue == "lost" {
                counted += try #require(event["count"]?.intValue)
            } else {
                seen += 1
            }
        }
        #expect(counted == lost)
        _ = try slow.call("events.unsubscribe")
    }
}
