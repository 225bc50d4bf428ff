import Foundation
import JSONRPC
import TestSupport
import Testing

/// What comes of accesses of devices, and of those that wait for a page.
struct DMAMethodTests {
    private let bench: ServiceBench
    private let client: PlayedClient

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
    }

    @Test func aFaultIsAnErrorWithTheEvent() throws {
        let memory = try SharedMemory(size: 1 << 16)
        let device = try client.attachedDevice("0000:01:00.0", memory)
        let error = try client.refusal("dma.write", #"{"device":\#(device),"iova":"0x1ffff","data":"\#("ab".base64)"}"#)
        #expect(error.code == -Int(EFAULT) && error.reason == "f_translation")
        let event = try #require(error.details.first { $0.key == "event" }?.value)
        #expect(event["type"]?.stringValue == "F_TRANSLATION")
        #expect(event["address"]?.stringValue == "0x20000")
        #expect(event["record"]?.arrayValue?.count == 4)
        let trace = try client.call("smmu.events", #"{"smmu":"smmu0"}"#)
        #expect(trace["events"]?.arrayValue?.last?["record"] == event["record"])
        try client.call("device.detach", #"{"device":\#(device)}"#)
        let blocked = try client.refusal("dma.read", #"{"device":\#(device),"iova":"0x10000","length":1}"#)
        #expect(blocked.code == -Int(EFAULT))
        #expect(!blocked.details.contains { $0.key == "event" })
        #expect(blocked.reason == "blocked")
    }

    @Test func aReadOnlyMappingStopsWrites() throws {
        let memory = try SharedMemory(size: 1 << 16)
        let object = try client.importMemory(memory)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call(
            "ioas.map", #"{"ioas":\#(ioas),"memory":\#(object),"length":4096,"iova":4096,"access":["read"]}"#)
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        _ = try client.call("dma.read", #"{"device":\#(device),"iova":4096,"length":16}"#)
        let error = try client.refusal("dma.write", #"{"device":\#(device),"iova":4096,"data":"\#("x".base64)"}"#)
        #expect(error.code == -Int(EFAULT) && error.reason == "f_permission")
        #expect(error.details.first { $0.key == "event" }?.value["type"]?.stringValue == "F_PERMISSION")
    }

    @Test func anInvalidAnswerAbortsTheAccess() throws {
        let other = try bench.connect()
        let (device, _, fault, _) = try client.stallingDevice(sharedWith: other)
        try client.ask("dma.read", #"{"device":\#(device),"iova":"0x5000","length":4}"#)
        let read = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        let cookie = try #require(read["faults"]?[0]?["cookie"]?.intValue)
        try other.expect(
            EINVAL, "unknown_cookie", "fault.respond",
            #"{"fault":\#(fault),"responses":[{"cookie":99999,"code":"invalid"}]}"#)
        try other.call("fault.respond", #"{"fault":\#(fault),"responses":[{"cookie":\#(cookie),"code":"invalid"}]}"#)
        #expect(try client.laterReply().refusal == "EFAULT f_translation")
    }

    @Test func aReadThatWaitsEndsWithItsQueue() throws {
        let other = try bench.connect()
        for connection in [client, other] { _ = try connection.call("session.attach", #"{"name":"reading"}"#) }
        let fault = try other.id("fault.alloc", "{}", "fault")
        try client.ask("fault.read", #"{"fault":\#(fault),"timeout_ms":3600000}"#)
        while try other.call("daemon.stats")["gauges"]?["waiting_calls"]?.intValue == 0 {}
        try other.call("object.destroy", #"{"id":\#(fault)}"#)
        #expect(try client.laterReply().refusal == "ENOENT unknown_fault")
        try other.call("session.close", "{}")
    }

    @Test func aStalledAccessTimesOut() throws {
        let other = try bench.connect()
        let (device, _, fault, _) = try client.stallingDevice(sharedWith: other)
        try client.expect(
            ETIMEDOUT, "access_timed_out", "dma.read",
            #"{"device":\#(device),"iova":"0x5000","length":4,"timeout_ms":50}"#)
        try client.call("fault.read", #"{"fault":\#(fault)}"#)
        // The device is not stuck: its next access stalls anew.
        try client.expect(
            ETIMEDOUT, "access_timed_out", "dma.read",
            #"{"device":\#(device),"iova":"0x6000","length":4,"timeout_ms":50}"#)
    }

    @Test func aWaitingReadEndsEmptyAfterItsTime() throws {
        let fault = try client.id("fault.alloc", "{}", "fault")
        let read = try client.call("fault.read", #"{"fault":\#(fault),"timeout_ms":30}"#)
        #expect(read["faults"]?.arrayValue?.isEmpty == true)
    }

    @Test func detachingAnswersTheFaults() throws {
        let other = try bench.connect()
        let (device, _, fault, _) = try client.stallingDevice(sharedWith: other)
        try client.ask("dma.read", #"{"device":\#(device),"iova":"0x5000","length":4}"#)
        _ = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        try other.call("device.detach", #"{"device":\#(device)}"#)
        #expect(try client.laterReply().refusal == "EFAULT f_translation")
    }

    @Test func closingTheSessionAnswersWhatWaitsInIt() throws {
        let other = try bench.connect()
        let (device, _, fault, _) = try client.stallingDevice(sharedWith: other)
        let third = try bench.connect()
        _ = try third.call("session.attach", #"{"name":"shared","create":false}"#)
        let empty = try other.id("fault.alloc", "{}", "fault")
        try third.send(
            line:
                #"{"jsonrpc":"2.0","id":"later","method":"fault.read","params":{"fault":\#(empty),"timeout_ms":60000}}"#
        )
        try client.ask("dma.read", #"{"device":\#(device),"iova":"0x5000","length":4}"#)
        _ = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        try other.call("session.close", "{}")
        #expect(try client.laterReply().refusal == "ECANCELED session_closed")
        // Its queue went with the session.
        #expect(try third.receive().refusal == "ENOENT unknown_fault")
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
    }
}
