import Foundation
import JSONRPC
import TestSupport
import Testing

/// Devices as they are listed, explained, looked into, added and removed.
struct DeviceMethodTests {
    private let bench: ServiceBench
    private let client: PlayedClient

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
    }

    @Test func listsTheLaboratory() throws {
        let topology = try client.call("topology.list")
        #expect(topology["smmus"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["smmu0", "smmu1"])
        #expect(topology["smmus"]?[0]?["idr"]?.arrayValue?.count == 6)
        let devices = try #require(topology["devices"]?.arrayValue)
        let names = Set(devices.compactMap { $0["name"]?.stringValue })
        #expect(names.isSuperset(of: ["0000:01:00.0", "0000:02:00.0", "0000:02:00.1", "0000:03:00.0", "0000:04:00.0"]))
        #expect(names.isSuperset(of: ["0000:05:00.0", "uacce0", "0001:01:00.0"]))
        let reserving = try #require(devices.first { $0["name"]?.stringValue == "0000:04:00.0" })
        let regions = try #require(reserving["reserved"]?.arrayValue)
        #expect(
            regions.contains { $0["start"]?.stringValue == "0x40000000" && $0["last"]?.stringValue == "0x400fffff" })
        #expect(regions.contains { $0["type"]?.stringValue == "sw_msi" && $0["start"]?.stringValue == "0x8000000" })
        let groups = try #require(topology["groups"]?.arrayValue)
        #expect(groups.contains { $0["devices"]?.arrayValue?.count == 2 && $0["viable"]?.boolValue == true })
        #expect(topology["uacce"]?[0]?["name"]?.stringValue == "uacce0")
    }

    @Test func namesOfSessionsAreForTheirUserAndAdministrators() throws {
        let owner = try bench.connect(uid: 1000)
        try owner.call("session.attach", #"{"name":"secret"}"#)
        try owner.call("device.bind", #"{"name":"0000:02:00.0"}"#)
        func told(_ client: PlayedClient) throws -> [String] {
            let devices = try client.call("topology.list")["devices"]?.arrayValue ?? []
            let listed = devices.first { $0["name"]?.stringValue == "0000:02:00.0" }?["bound_by"]?.stringValue
            let reasons = try client.call("device.explain", #"{"name":"0000:02:00.1"}"#)["reasons"]
            let refused = try client.refusal("device.bind", #"{"name":"0000:02:00.1"}"#)
            return [listed, reasons?[0]?["session"]?.stringValue, refused.detail("session")?.stringValue]
                .compactMap(\.self)
        }
        let name = "session secret of user 1000"
        #expect(try told(bench.connect(uid: 1000)) == [name, name, name])
        #expect(try told(client) == [name, name, name])
        let hidden = "a session of user 1000"
        #expect(try told(bench.connect(uid: 1001)) == [hidden, hidden, hidden])
    }

    @Test func translatesThroughTheTables() throws {
        _ = try client.call("memory.create", #"{"size":2097152}"#)
        _ = try client.call("ioas.alloc")
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let ste = try client.call("smmu.ste", #"{"device":\#(device)}"#)
        #expect(ste["fields"]?["Config"]?.stringValue == "0x0")
        try client.call("device.attach", #"{"device":\#(device),"pt":1}"#)
        try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":"0x5000"}"#)
        let walked = try client.call("smmu.translate", #"{"device":\#(device),"iova":"0x5678","trace":true}"#)
        #expect((walked["pa"]?.unsignedValue ?? 0) & 0xfff == 0x678)
        #expect(walked["page_size"]?.unsignedValue == 4096)
        #expect(walked["steps"]?.arrayValue?.map { $0["level"]?.intValue } == [0, 1, 2, 3])
        let missed = try client.call("smmu.translate", #"{"device":\#(device),"iova":"0x9000","access":"write"}"#)
        #expect(missed["event"]?["type"]?.stringValue == "F_TRANSLATION")
        #expect(missed["event"]?["record"]?.arrayValue?.count == 4)
        #expect(missed["pa"] == nil)
        let attached = try client.call("smmu.ste", #"{"device":\#(device)}"#)
        #expect(attached["words"]?.arrayValue?.count == 8)
        #expect(attached["fields"]?["V"]?.intValue == 1)
        #expect(attached["fields"]?["Config"]?.stringValue == "0x5")
        let cd = try client.call("smmu.cd", #"{"device":\#(device),"substream_id":0}"#)
        #expect(cd["fields"]?["V"]?.intValue == 1)
        try client.expect(ENOENT, "no_cd", "smmu.cd", #"{"device":\#(device),"substream_id":900000}"#)
        let registers = try client.call("smmu.registers", #"{"smmu":"smmu0"}"#)
        #expect(registers["registers"]?["CR0"]?.stringValue == registers["registers"]?["CR0ACK"]?.stringValue)
        let before = try client.id("smmu.commands", #"{"smmu":"smmu0","limit":1}"#, "last")
        try client.call("ioas.unmap", #"{"ioas":1,"iova":"0x5000","length":4096}"#)
        let issued = try client.call("smmu.commands", #"{"smmu":"smmu0","since":\#(before)}"#)
        let names = issued["commands"]?.arrayValue?.compactMap { $0["command"]?.stringValue } ?? []
        #expect(names.contains { $0.hasPrefix("CMD_TLBI") })
        #expect(names.last == "CMD_SYNC")
    }

    @Test func topologyAndExplanationAgreeOnWhatIsViable() throws {
        let other = try bench.connect()
        func viable(_ client: PlayedClient) throws -> [String: Bool] {
            let groups = try #require(try client.call("topology.list")["groups"]?.arrayValue)
            var all: [String: Bool] = [:]
            for group in groups {
                let names = group["devices"]?.arrayValue?.compactMap(\.stringValue) ?? []
                let explained = try names.map {
                    try client.call("device.explain", #"{"name":"\#($0)"}"#)["viable"]?.boolValue
                }
                let isViable = group["viable"]?.boolValue
                #expect(isViable == !explained.contains(false), "\(names)")
                #expect((group["reason"]?.stringValue == nil) == (isViable == true))
                for name in names { all[name] = isViable }
            }
            return all
        }
        let name = "0000:04:00.0"
        let free = try viable(client)
        #expect(free[name] == true)
        let device = try other.id("device.bind", #"{"name":"\#(name)"}"#, "device")
        #expect(try viable(other) == free)
        #expect(try viable(client).filter { !$0.value }.keys.contains(name))
        try client.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"\#(name)"}"#)
        try other.call("device.unbind", #"{"device":\#(device)}"#)
        #expect(try viable(client) == free)
    }

    @Test func addsAndRemovesDevices() throws {
        try client.call(
            "device.add",
            #"{"name":"hot","smmu":"smmu0","stream_ids":[4000],"pasid_bits":4,"reserved":[{"start":0,"last":4095}]}"#)
        try client.expect(EEXIST, "device_exists", "device.add", #"{"name":"hot","smmu":"smmu0","stream_ids":[4001]}"#)
        try client.expect(
            EEXIST, "stream_id_taken", "device.add", #"{"name":"warm","smmu":"smmu0","stream_ids":[4000]}"#)
        try client.expect(ENOENT, "unknown_smmu", "device.add", #"{"name":"warm","smmu":"smmu9","stream_ids":[4002]}"#)
        for name in [#"two words"#, #"line\nbreak"#, ""] {
            let named = #"{"name":"\#(name)","smmu":"smmu0","stream_ids":[4003]}"#
            try client.expect(EINVAL, "bad_format", "device.add", named)
        }
        let device = try client.id("device.bind", #"{"name":"hot"}"#, "device")
        try client.call("device.remove", #"{"name":"hot"}"#)
        try client.expect(ENODEV, "device_removed", "device.hw_info", #"{"device":\#(device)}"#)
        try client.expect(ENODEV, "unknown_device", "device.remove", #"{"name":"hot"}"#)
        try client.call("device.unbind", #"{"device":\#(device)}"#)
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
    }
}
