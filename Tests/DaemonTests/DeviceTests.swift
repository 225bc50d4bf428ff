import Foundation
import JSONRPC
import TestSupport
import Testing

/// Devices are bound and attached, and keep others out.
struct DeviceTests {
    private let daemon: RunningDaemon
    private let client: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
    }

    @Test func bindsAttachesAndUnbinds() throws {
        try client.expect(ENODEV, "unknown_device", "device.bind", #"{"name":"nothing"}"#)
        let bound = try client.call("device.bind", #"{"name":"0000:02:00.0"}"#)
        #expect(bound["device"]?.intValue == 1)
        try client.expect(EBUSY, "already_bound", "device.bind", #"{"name":"0000:02:00.0"}"#)
        let other = try daemon.connect()
        try other.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"0000:02:00.1"}"#)
        let explained = try other.call("device.explain", #"{"name":"0000:02:00.1"}"#)
        #expect(explained["viable"]?.boolValue == false)
        #expect(explained["reasons"]?.arrayValue?.isEmpty == false)
        let info = try client.call("device.hw_info", #"{"device":1}"#)
        #expect(info["type"]?.stringValue == "arm_smmuv3")
        #expect(info["idr"]?.arrayValue?.count == 6)
        #expect(info["max_pasid_log2"]?.intValue == 0)
        #expect(info["flags"]?.arrayValue?.isEmpty == true)
        _ = try client.call("ioas.alloc")
        let hwpt = try client.id("device.attach", #"{"device":1,"pt":2}"#, "hwpt")
        try client.expect(EBUSY, "already_attached", "device.attach", #"{"device":1,"pt":2}"#)
        try client.expect(EBUSY, "object_in_use", "object.destroy", #"{"id":\#(hwpt)}"#)
        try client.expect(EBUSY, "object_in_use", "object.destroy", #"{"id":2}"#)
        try client.call("device.detach", #"{"device":1}"#)
        try client.call("device.detach", #"{"device":1}"#)
        try client.expect(ENOENT, "unknown_object", "object.destroy", #"{"id":\#(hwpt)}"#)
        try client.expect(EINVAL, "not_attached", "device.replace", #"{"device":1,"pt":2}"#)
        try client.call("device.unbind", #"{"device":1}"#)
        _ = try other.call("device.bind", #"{"name":"0000:02:00.1"}"#)
    }

    @Test func reservedRegionsRefuseTheAttach() throws {
        _ = try client.call("memory.create", #"{"size":65536}"#)
        _ = try client.call("ioas.alloc")
        try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":"0x40000000"}"#)
        let device = try client.id("device.bind", #"{"name":"0000:04:00.0"}"#, "device")
        try client.expect(EADDRINUSE, "mapping_in_reserved_region", "device.attach", #"{"device":\#(device),"pt":1}"#)
        let checked = try client.call(
            "ioas.check",
            #"{"devices":["0000:04:00.0"],"mappings":[{"iova":"0x40000000","length":4096},{"iova":1,"length":4096}]}"#)
        #expect(checked["ok"]?.boolValue == false)
        let problems = try #require(checked["problems"]?.arrayValue)
        #expect(problems.contains { $0["errno"]?.stringValue == "EADDRINUSE" && $0["mapping"]?.intValue == 0 })
        #expect(problems.contains { $0["errno"]?.stringValue == "EINVAL" && $0["mapping"]?.intValue == 1 })
        try client.call("ioas.unmap", #"{"ioas":1,"iova":"0x40000000","length":4096}"#)
        try client.call("device.attach", #"{"device":\#(device),"pt":1}"#)
        try client.expect(
            EINVAL, "iova_reserved", "ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":"0x40000000"}"#)
        let ranges = try client.call("ioas.iova_ranges", #"{"ioas":1}"#)
        #expect(ranges["alignment"]?.unsignedValue == 4096)
        #expect(ranges["ranges"]?[0]?["last"]?.stringValue == "0x7ffffff")
    }
}
