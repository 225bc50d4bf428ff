import Foundation
import JSONRPC
import TestSupport
import Testing

/// Devices that read and write a client's memory through the SMMU.
struct DMATests {
    private let daemon: RunningDaemon
    private let client: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
    }

    /// Memory mapped at 0x10000 for the device, which is attached. - Returns: the device object.
    private func attach(_ name: String, _ memory: SharedMemory, on client: RPCClient) throws -> Int {
        let object = try client.importMemory(memory)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(object),"length":65536,"iova":"0x10000"}"#)
        let device = try client.id("device.bind", #"{"name":"\#(name)"}"#, "device")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        return device
    }

    @Test func bytesArriveInTheClientsMemfd() throws {
        let memory = try SharedMemory(size: 1 << 16)
        let device = try attach("0000:01:00.0", memory, on: client)
        let text = "through stage 1"
        let written = try client.call(
            "dma.write", #"{"device":\#(device),"iova":"0x11ffa","data":"\#(text.base64)"}"#)
        #expect(written["written"]?.intValue == text.utf8.count)
        #expect(memory.text(0x1ffa, text.utf8.count) == text)
        memory.bytes.storeBytes(of: UInt8(ascii: "T"), toByteOffset: 0x1ffa, as: UInt8.self)
        let read = try client.call("dma.read", #"{"device":\#(device),"iova":"0x11ffa","length":7}"#)
        #expect(read["data"]?.stringValue == "Through".base64)
    }

    @Test func aFaultIsAnErrorWithTheEvent() throws {
        let memory = try SharedMemory(size: 1 << 16)
        let device = try attach("0000:01:00.0", memory, on: client)
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

    // MARK: Stalls

    /// A stalling device on an hwpt with a fault queue, in a session that two connections share.
    private func stallingDevice(_ other: RPCClient) throws -> (device: Int, ioas: Int, fault: Int, memory: Int) {
        _ = try client.call("session.attach", #"{"name":"shared"}"#)
        _ = try other.call("session.attach", #"{"name":"shared","create":false}"#)
        let memory = try client.id("memory.create", #"{"size":65536}"#, "memory")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        let device = try client.id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
        let fault = try client.id("fault.alloc", "{}", "fault")
        let hwpt = try client.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"fault":\#(fault)}"#, "hwpt")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
        return (device, ioas, fault, memory)
    }

    private func send(_ method: String, _ params: String) throws {
        try client.send(line: #"{"jsonrpc":"2.0","id":"later","method":"\#(method)","params":\#(params)}"#)
    }

    private func reply() throws -> JSONValue {
        let line = try #require(try client.receiveLine())
        let reply = try JSONValue(parsing: line)
        #expect(reply["id"]?.stringValue == "later")
        return reply
    }

    @Test func aStalledAccessGoesOnWhenItsFaultIsAnswered() throws {
        let other = try daemon.connect()
        let (device, ioas, fault, memory) = try stallingDevice(other)
        try send("dma.write", #"{"device":\#(device),"iova":"0x5004","data":"\#("late".base64)"}"#)
        let read = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        let entry = try #require(read["faults"]?[0])
        #expect(entry["addr"]?.stringValue == "0x5004" || entry["addr"]?.stringValue == "0x5000")
        #expect(entry["perm"]?.arrayValue?.contains(.string("write")) == true)
        #expect(entry["device"]?.intValue == device)
        try other.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":4096,"iova":"0x5000"}"#)
        let cookie = try #require(entry["cookie"]?.intValue)
        let answered = try other.call(
            "fault.respond", #"{"fault":\#(fault),"responses":[{"cookie":\#(cookie),"code":"success"}]}"#)
        #expect(answered["handled"]?.intValue == 1)
        #expect(try reply()["result"]?["written"]?.intValue == 4)
        let data = try other.call("memory.read", #"{"memory":\#(memory),"offset":4,"length":4}"#)
        #expect(data["data"]?.stringValue == "late".base64)
    }

    @Test func anInvalidAnswerAbortsTheAccess() throws {
        let other = try daemon.connect()
        let (device, _, fault, _) = try stallingDevice(other)
        try send("dma.read", #"{"device":\#(device),"iova":"0x5000","length":4}"#)
        let read = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        let cookie = try #require(read["faults"]?[0]?["cookie"]?.intValue)
        try other.expect(
            EINVAL, "unknown_cookie", "fault.respond",
            #"{"fault":\#(fault),"responses":[{"cookie":99999,"code":"invalid"}]}"#)
        try other.call("fault.respond", #"{"fault":\#(fault),"responses":[{"cookie":\#(cookie),"code":"invalid"}]}"#)
        #expect(try reply()["error"]?["code"]?.intValue == -Int(EFAULT))
    }

    @Test func aReadThatWaitsEndsWithItsQueue() throws {
        let other = try daemon.connect()
        for connection in [client, other] { _ = try connection.call("session.attach", #"{"name":"reading"}"#) }
        let fault = try other.id("fault.alloc", "{}", "fault")
        try send("fault.read", #"{"fault":\#(fault),"timeout_ms":3600000}"#)
        while try other.call("daemon.stats")["gauges"]?["waiting_calls"]?.intValue == 0 {}
        try other.call("object.destroy", #"{"id":\#(fault)}"#)
        #expect(try reply()["error"]?["code"]?.intValue == -Int(ENOENT))
        try other.call("session.close", "{}")
    }

    @Test func aStalledAccessTimesOut() throws {
        let other = try daemon.connect()
        let (device, _, fault, _) = try stallingDevice(other)
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
        let other = try daemon.connect()
        let (device, _, fault, _) = try stallingDevice(other)
        try send("dma.read", #"{"device":\#(device),"iova":"0x5000","length":4}"#)
        _ = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        try other.call("device.detach", #"{"device":\#(device)}"#)
        #expect(try reply()["error"]?["code"]?.intValue == -Int(EFAULT))
    }

    /// The answers come out of the SMMU and are worked off when the detach is done, on the daemon's own thread.
    @Test func detachingAStalledDeviceStartsNoThread() throws {
        let other = try daemon.connect()
        let (device, _, fault, _) = try stallingDevice(other)
        for address in 1...16 {
            let line = #"{"device":\#(device),"iova":\#(address << 12),"length":4}"#
            try send("dma.read", line)
        }
        _ = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        try other.call("device.detach", #"{"device":\#(device)}"#)
        #expect(try reply()["error"]?["code"]?.intValue == -Int(EFAULT))
        #expect(daemon.process.threadCount == 1)
    }

    @Test func closingTheSessionAnswersWhatWaitsInIt() throws {
        let other = try daemon.connect()
        let (device, _, fault, _) = try stallingDevice(other)
        let third = try daemon.connect()
        _ = try third.call("session.attach", #"{"name":"shared","create":false}"#)
        let empty = try other.id("fault.alloc", "{}", "fault")
        try third.send(
            line:
                #"{"jsonrpc":"2.0","id":"later","method":"fault.read","params":{"fault":\#(empty),"timeout_ms":60000}}"#
        )
        try send("dma.read", #"{"device":\#(device),"iova":"0x5000","length":4}"#)
        _ = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        try other.call("session.close", "{}")
        #expect(try reply()["error"] != nil)
        let line = try #require(try third.receiveLine())
        #expect(try JSONValue(parsing: line)["error"] != nil)
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
    }

    @Test func aWaitingConnectionThatEndsFreesItsDeviceAtOnce() throws {
        let other = try daemon.connect()
        do {
            let waiting = try daemon.connect()
            let ioas = try waiting.id("ioas.alloc", "{}", "ioas")
            let device = try waiting.id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
            let fault = try waiting.id("fault.alloc", "{}", "fault")
            let hwpt = try waiting.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"fault":\#(fault)}"#, "hwpt")
            try waiting.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
            _ = try other.call("events.subscribe", #"{"kinds":["fault"],"all":true}"#)
            try waiting.send(
                line:
                    #"{"jsonrpc":"2.0","id":1,"method":"dma.read","params":{"device":\#(device),"iova":0,"length":1}}"#)
            #expect(try other.nextNotification()["params"]?["kind"]?.stringValue == "fault")
            try other.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"0000:03:00.0"}"#)
        }
        _ = try other.call("events.subscribe", #"{"kinds":["device"],"all":true}"#)
        while case .failure = Result(catching: { try other.call("device.bind", #"{"name":"0000:03:00.0"}"#) }) {
            _ = try other.nextNotification()
        }
        let ste = try other.call("smmu.ste", #"{"device":1}"#)
        #expect(ste["fields"]?["Config"]?.stringValue == "0x0")
    }
}
