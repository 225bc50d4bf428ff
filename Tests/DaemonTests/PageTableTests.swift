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

    @Test func aGroupMovesTogether() throws {
        let (first, second) = (try client.bind("0000:02:00.0"), try client.bind("0000:02:00.1"))
        let one = try client.space(filledWith: 1)
        let two = try client.space(filledWith: 2)
        let hwpt = try client.id("device.attach", #"{"device":\#(first),"pt":\#(one.ioas)}"#, "hwpt")
        try client.expect(
            EINVAL, "group_attached_elsewhere", "device.attach", #"{"device":\#(second),"pt":\#(two.ioas)}"#)
        #expect(try client.id("device.attach", #"{"device":\#(second),"pt":\#(one.ioas)}"#, "hwpt") == hwpt)
        #expect(try (client.readByte(first), client.readByte(second)) == (1, 1))
        _ = try client.call("device.replace", #"{"device":\#(first),"pt":\#(two.ioas)}"#)
        #expect(try (client.readByte(first), client.readByte(second)) == (2, 2))
        // The automatic table went with its last device.
        try client.expect(ENOENT, "unknown_object", "object.destroy", #"{"id":\#(hwpt)}"#)
        try client.call("object.destroy", #"{"id":\#(one.ioas)}"#)
        try client.call("device.detach", #"{"device":\#(first)}"#)
        #expect(try client.readByte(second) == 2)
        try client.call("device.detach", #"{"device":\#(second)}"#)
        try client.expect(EFAULT, "blocked", "dma.read", #"{"device":\#(second),"iova":"0x10000","length":1}"#)
    }

    @Test func pasidsHaveTablesOfTheirOwn() throws {
        let device = try client.bind("0000:01:00.0")
        let own = try client.space(filledWith: 1)
        let other = try client.space(filledWith: 7)
        func table(_ ioas: Int) throws -> Int {
            try client.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"flags":["pasid"]}"#, "hwpt")
        }
        let (first, second) = (try table(own.ioas), try table(other.ioas))
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(first)}"#)
        try client.expect(
            EINVAL, "not_pasid_compatible", "device.attach", #"{"device":\#(device),"pt":\#(other.ioas),"pasid":5}"#)
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(second),"pasid":5}"#)
        #expect(try (client.readByte(device), client.readByte(device, pasid: 5)) == (1, 7))
        _ = try client.call("device.replace", #"{"device":\#(device),"pt":\#(first),"pasid":5}"#)
        #expect(try client.readByte(device, pasid: 5) == 1)
        try client.call("device.detach", #"{"device":\#(device),"pasid":5}"#)
        try client.expect(
            EFAULT, "c_bad_cd", "dma.read", #"{"device":\#(device),"pasid":5,"iova":"0x10000","length":1}"#)
        let plain = try client.bind("0000:02:00.0")
        try client.expect(EOPNOTSUPP, "no_pasid", "device.attach", #"{"device":\#(plain),"pt":\#(second),"pasid":1}"#)
    }

    @Test func dirtyPagesAreReportedOnce() throws {
        let device = try client.bind("0000:01:00.0")
        let space = try client.space(filledWith: 0)
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
}
