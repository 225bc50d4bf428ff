import Foundation
import JSONRPC
import TestSupport
import Testing

/// What hardware page tables cannot be, and what is left when they cannot.
struct PageTableMethodTests {
    private let client: PlayedClient

    init() throws { client = try ServiceBench().connect() }

    @Test func aReplaceThatFailsChangesNothing() throws {
        let device = try client.bind("0000:04:00.0")
        let good = try client.space(filledWith: 1)
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":\#(good.ioas)}"#)
        let bad = try client.space(filledWith: 2)
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
        #expect(try client.readByte(device) == 1)
    }

    @Test func whatAnHwptCannotBeIsRefused() throws {
        let device = try client.bind("0000:01:00.0")
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
