import Foundation
import JSONRPC
import TestSupport
import Testing

/// Hardware page tables: automatic and explicit, replaced, dirty, for PASIDs.
struct PageTableTests {
    private let daemon: RunningDaemon
    private let client: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
    }

    private func bind(_ name: String) throws -> Int { try client.id("device.bind", #"{"name":"\#(name)"}"#, "device") }

    /// An IOAS with a 64 KiB memory object filled with one byte, mapped at 0x10000.
    private func space(filledWith byte: UInt8) throws -> (ioas: Int, memory: Int) {
        let memory = try client.id("memory.create", #"{"size":65536}"#, "memory")
        let text = Data(repeating: byte, count: 65536).base64EncodedString()
        try client.call("memory.write", #"{"memory":\#(memory),"data":"\#(text)"}"#)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":65536,"iova":"0x10000"}"#)
        return (ioas, memory)
    }

    private func read(_ device: Int, pasid: Int? = nil) throws -> UInt8 {
        let tag = pasid.map { #","pasid":\#($0)"# } ?? ""
        let data = try client.call("dma.read", #"{"device":\#(device),"iova":"0x10000","length":1\#(tag)}"#)["data"]
        return try #require(data?.stringValue.flatMap { Data(base64Encoded: $0) }?.first)
    }

    @Test func aGroupMovesTogether() throws {
        let (first, second) = (try bind("0000:02:00.0"), try bind("0000:02:00.1"))
        let one = try space(filledWith: 1)
        let two = try space(filledWith: 2)
        let hwpt = try client.id("device.attach", #"{"device":\#(first),"pt":\#(one.ioas)}"#, "hwpt")
        try client.expect(
            EINVAL, "group_attached_elsewhere", "device.attach", #"{"device":\#(second),"pt":\#(two.ioas)}"#)
        #expect(try client.id("device.attach", #"{"device":\#(second),"pt":\#(one.ioas)}"#, "hwpt") == hwpt)
        #expect(try (read(first), read(second)) == (1, 1))
        _ = try client.call("device.replace", #"{"device":\#(first),"pt":\#(two.ioas)}"#)
        #expect(try (read(first), read(second)) == (2, 2))
        // The automatic table went with its last device.
        try client.expect(ENOENT, "unknown_object", "object.destroy", #"{"id":\#(hwpt)}"#)
        try client.call("object.destroy", #"{"id":\#(one.ioas)}"#)
        try client.call("device.detach", #"{"device":\#(first)}"#)
        #expect(try read(second) == 2)
        try client.call("device.detach", #"{"device":\#(second)}"#)
        try client.expect(EFAULT, "blocked", "dma.read", #"{"device":\#(second),"iova":"0x10000","length":1}"#)
    }

    @Test func aReplaceThatFailsChangesNothing() throws {
        let device = try bind("0000:04:00.0")
        let good = try space(filledWith: 1)
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(good.ioas)}"#)
        let bad = try space(filledWith: 2)
        try client.call("ioas.map", #"{"ioas":\#(bad.ioas),"memory":\#(bad.memory),"length":4096,"iova":"0x40000000"}"#)
        func state() throws -> [JSONValue] {
            [
                try client.call("session.objects"), try client.call("smmu.ste", #"{"device":\#(device)}"#),
                try client.call("smmu.cd", #"{"device":\#(device)}"#),
            ]
        }
        let before = try state()
        try client.expect(
            EADDRINUSE, "mapping_in_reserved_region", "device.replace", #"{"device":\#(device),"pt":\#(bad.ioas)}"#)
        try client.expect(ENOENT, "unknown_pt", "device.replace", #"{"device":\#(device),"pt":999}"#)
        try client.expect(EINVAL, "wrong_kind", "device.replace", #"{"device":\#(device),"pt":\#(device)}"#)
        #expect(try state() == before)
        #expect(try read(device) == 1)
    }

    @Test func pasidsHaveTablesOfTheirOwn() throws {
        let device = try bind("0000:01:00.0")
        let own = try space(filledWith: 1)
        let other = try space(filledWith: 7)
        func table(_ ioas: Int) throws -> Int {
            try client.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"flags":["pasid"]}"#, "hwpt")
        }
        let (first, second) = (try table(own.ioas), try table(other.ioas))
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(first)}"#)
        try client.expect(
            EINVAL, "not_pasid_compatible", "device.attach", #"{"device":\#(device),"pt":\#(other.ioas),"pasid":5}"#)
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(second),"pasid":5}"#)
        #expect(try (read(device), read(device, pasid: 5)) == (1, 7))
        _ = try client.call("device.replace", #"{"device":\#(device),"pt":\#(first),"pasid":5}"#)
        #expect(try read(device, pasid: 5) == 1)
        try client.call("device.detach", #"{"device":\#(device),"pasid":5}"#)
        try client.expect(
            EFAULT, "c_bad_cd", "dma.read", #"{"device":\#(device),"pasid":5,"iova":"0x10000","length":1}"#)
        let plain = try bind("0000:02:00.0")
        try client.expect(EOPNOTSUPP, "no_pasid", "device.attach", #"{"device":\#(plain),"pt":\#(second),"pasid":1}"#)
    }

    @Test func dirtyPagesAreReportedOnce() throws {
        let device = try bind("0000:01:00.0")
        let space = try space(filledWith: 0)
        let hwpt = try client.id(
            "hwpt.alloc", #"{"device":\#(device),"pt":\#(space.ioas),"flags":["dirty_tracking"]}"#, "hwpt")
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
        try client.call("hwpt.set_dirty_tracking", #"{"hwpt":\#(hwpt),"enable":true}"#)
        for iova in ["0x11000", "0x1f008"] {
            _ = try client.call("dma.write", #"{"device":\#(device),"iova":"\#(iova)","data":"\#("x".base64)"}"#)
        }
        let range = #""hwpt":\#(hwpt),"iova":"0x10000","length":65536"#
        let kept = try client.call("hwpt.get_dirty_bitmap", #"{\#(range),"page_size":4096,"clear":false}"#)
        #expect(kept["dirty"]?.intValue == 2)
        #expect(kept["bitmap"]?.stringValue == Data([0x02, 0x80]).base64EncodedString())
        let coarse = try client.call("hwpt.get_dirty_bitmap", #"{\#(range),"page_size":8192,"clear":true}"#)
        #expect(coarse["dirty"]?.intValue == 2)
        #expect(coarse["bitmap"]?.stringValue == Data([0x81]).base64EncodedString())
        #expect(try client.id("hwpt.get_dirty_bitmap", #"{\#(range),"page_size":4096}"#, "dirty") == 0)
        try client.expect(EINVAL, "bad_page_size", "hwpt.get_dirty_bitmap", #"{\#(range),"page_size":4095}"#)
    }

    @Test func whatAnHwptCannotBeIsRefused() throws {
        let device = try bind("0000:01:00.0")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        func alloc(_ rest: String) -> String { #"{"device":\#(device),"pt":\#(ioas)\#(rest)}"# }
        try client.expect(
            EOPNOTSUPP, "flags_unsupported", "hwpt.alloc", alloc(#","flags":["nest_parent","dirty_tracking"]"#))
        try client.expectMistake("hwpt.alloc", alloc(#","flags":["other"]"#), naming: "flags")
        try client.expect(ENOENT, "unknown_fault", "hwpt.alloc", alloc(#","fault":999"#))
        try client.expect(EINVAL, "unknown_pt", "hwpt.alloc", #"{"device":\#(device),"pt":999}"#)
        try client.expect(ENOENT, "unknown_device", "hwpt.alloc", #"{"device":999,"pt":\#(ioas)}"#)
        let parent = try client.id("hwpt.alloc", alloc(#","flags":["nest_parent"]"#), "hwpt")
        try client.expect(
            EOPNOTSUPP, "nest_through_viommu", "hwpt.alloc",
            #"{"device":\#(device),"pt":\#(parent),"data":{"type":"arm_smmuv3","ste":[1,0]}}"#)
        try client.expect(
            EINVAL, "wrong_kind", "hwpt.invalidate", #"{"target":\#(ioas),"type":"arm_smmuv3","entries":[]}"#)
    }
}
