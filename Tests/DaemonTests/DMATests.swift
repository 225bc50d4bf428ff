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

    @Test func aStalledAccessGoesOnWhenItsFaultIsAnswered() throws {
        let other = try daemon.connect()
        let (device, ioas, fault, memory) = try client.stallingDevice(sharedWith: other)
        try client.ask("dma.write", #"{"device":\#(device),"iova":"0x5004","data":"\#("late".base64)"}"#)
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
        #expect(try client.laterReply()["result"]?["written"]?.intValue == 4)
        let data = try other.call("memory.read", #"{"memory":\#(memory),"offset":4,"length":4}"#)
        #expect(data["data"]?.stringValue == "late".base64)
    }

    /// The answers come out of the SMMU and are worked off when the detach is done, on the daemon's own thread.
    @Test func detachingAStalledDeviceStartsNoThread() throws {
        let other = try daemon.connect()
        let (device, _, fault, _) = try client.stallingDevice(sharedWith: other)
        for address in 1...16 {
            let line = #"{"device":\#(device),"iova":\#(address << 12),"length":4}"#
            try client.ask("dma.read", line)
        }
        _ = try other.call("fault.read", #"{"fault":\#(fault),"timeout_ms":10000}"#)
        try other.call("device.detach", #"{"device":\#(device)}"#)
        #expect(try client.laterReply().refusal == "EFAULT f_translation")
        #expect(daemon.process.threadCount == 1)
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
