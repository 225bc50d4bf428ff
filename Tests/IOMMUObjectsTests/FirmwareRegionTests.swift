import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

/// Devices that the firmware goes on using cannot be bound, nor can their siblings.
@Suite struct FirmwareRegionTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
    }

    private func add(_ name: String, _ stream: UInt32, _ kind: ReservedRegion.Kind?) throws {
        var description = DeviceDescription(name: name, smmu: "smmu0", streamIDs: [stream])
        description.group = "console"
        if let kind {
            description.reserved = [
                ReservedRegion(range: try #require(AddressRange(start: 0x9000_0000, length: 0x10000)), kind: kind)
            ]
        }
        try laboratory.backend.addDevice(description)
    }

    @Test func directRegionsKeepTheGroup() throws {
        try add("display", 0x900, .direct)
        try add("sound", 0x901, nil)
        for name in ["display", "sound"] {
            expectRefusal(.EINVAL, .directRegion, in: laboratory) { try laboratory.bind(name) }
            let explanation = try context.explain(deviceNamed: name)
            #expect(!explanation.viable && explanation.reasons.map(\.reason) == [.directRegion])
            #expect(explanation.reasons[0].members.contains(.init("device", .text("display"))))
            let problems = context.check(devices: [.name(name)], mappings: [])
            #expect(problems.map(\.error.reason) == [.directRegion])
        }
    }

    @Test func relaxableRegionsAreFree() throws {
        try add("usb", 0x900, .directRelaxable)
        let device = try laboratory.bind("usb")
        let ioas = try context.allocateIOAS()
        let memory = try laboratory.memory()
        try laboratory.map(ioas, memory, at: 0x9000_0000)
        #expect(
            context.check(
                devices: [.id(device)], mappings: [CheckedMapping(iova: 0x9000_0000, length: 0x1000)]
            ).isEmpty)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        #expect(try laboratory.reach("usb", 0x9000_0000) != nil)
        #expect(try context.explain(deviceNamed: "usb").viable)
    }
}
