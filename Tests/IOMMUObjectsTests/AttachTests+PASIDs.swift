import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

extension AttachTests {
    @Test func pasidsNeedTheirFlagOnBothSides() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let plain = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
        let capable = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        let elsewhere = try context.allocateIOAS()
        let own = try context.allocateHWPT(HWPTRequest(device: device, pt: elsewhere, flags: .pasid))
        try laboratory.map(ioas, memory, at: 0x1000)
        try laboratory.map(elsewhere, memory, at: 0x1000, offset: 0x4000)
        expectRefusal(.EINVAL, .notPASIDCompatible, in: laboratory) {
            try context.attach(device: device, to: ioas, pasid: 1)
        }
        expectRefusal(.EINVAL, .notPASIDCompatible, in: laboratory) {
            try context.attach(device: device, to: plain, pasid: 1)
        }
        for pasid in [0, 1024, .max] as [UInt32] {
            expectRefusal(.EINVAL, .badPASID, in: laboratory) {
                try context.attach(device: device, to: capable, pasid: pasid)
            }
        }
        _ = try context.attach(device: device, to: plain, pasid: nil)
        expectRefusal(.EINVAL, .ridNotPASIDCompatible, in: laboratory) {
            try context.attach(device: device, to: capable, pasid: 1)
        }
        _ = try context.replace(device: device, with: own, pasid: nil)
        #expect(try context.attach(device: device, to: capable, pasid: 1) == capable)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000) == base(memory) + 0x4000)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000, pasid: 1) == base(memory))
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000, pasid: 2) == nil)
        expectRefusal(.EINVAL, .notPASIDCompatible, in: laboratory) {
            try context.replace(device: device, with: plain, pasid: nil)
        }
        expectRefusal(.EBUSY, .alreadyAttached, in: laboratory) {
            try context.attach(device: device, to: own, pasid: 1)
        }
        expectRefusal(.EINVAL, .notAttached, in: laboratory) {
            try context.replace(device: device, with: own, pasid: 2)
        }
        _ = try context.replace(device: device, with: own, pasid: 1)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000, pasid: 1) == base(memory) + 0x4000)
        try context.detach(device: device, pasid: 1)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000, pasid: 1) == nil)
    }

    @Test func stage2AndPASIDsExcludeEachOther() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        let capable = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        _ = try context.attach(device: device, to: capable, pasid: 3)
        // An attached PASID is told by the uAPI's rule; a shared address space is what keeps the driver busy.
        expectRefusal(.EINVAL, .notPASIDCompatible, in: laboratory) {
            try context.attach(device: device, to: parent, pasid: nil)
        }
        try context.detach(device: device, pasid: 3)
        _ = try context.attach(device: device, to: parent, pasid: nil)
        expectRefusal(.EINVAL, in: laboratory) { try context.attach(device: device, to: capable, pasid: 3) }
        expectRefusal(.EINVAL, in: laboratory) { try context.attach(device: device, to: parent, pasid: 3) }
        let plain = try laboratory.bind(ObjectLaboratory.reserving)
        expectRefusal(.EOPNOTSUPP, .noPASID, in: laboratory) {
            try context.attach(device: plain, to: capable, pasid: 3)
        }
    }

    @Test func sharedAddressSpacesKeepStage2Out() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        let known = try laboratory.backend.registry.device(named: ObjectLaboratory.pci)
        known.sharedPASIDs.insert(9)
        expectRefusal(.EBUSY, .pasidsInUse, in: laboratory) {
            try context.attach(device: device, to: parent, pasid: nil)
        }
        let capable = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        expectRefusal(.EBUSY, .pasidTaken, in: laboratory) {
            try context.attach(device: device, to: capable, pasid: 9)
        }
        known.sharedPASIDs.remove(9)
        _ = try context.attach(device: device, to: parent, pasid: nil)
    }

    /// A sibling that can send no PASIDs has no part in those of the others, whether it comes before or after.
    @Test func siblingsWithoutPASIDsAreLeftOut() throws {
        func add(_ name: String, _ stream: UInt32, bits: Int) throws {
            var description = DeviceDescription(name: name, smmu: "smmu0", streamIDs: [stream])
            (description.group, description.pasidBits) = ("mixed", bits)
            try laboratory.backend.addDevice(description)
        }
        try add("able", 0x900, bits: 4)
        try add("unable", 0x901, bits: 0)
        let (able, unable) = (try laboratory.bind("able"), try laboratory.bind("unable"))
        let capable = try context.allocateHWPT(HWPTRequest(device: able, pt: ioas, flags: .pasid))
        try laboratory.map(ioas, memory, at: 0x1000)
        _ = try context.attach(device: able, to: capable, pasid: 3)
        try add("late", 0x902, bits: 0)
        #expect(try laboratory.reach("able", 0x1000, pasid: 3) == base(memory))
        for name in ["unable", "late"] { #expect(try laboratory.backend.port(name).targets.isEmpty) }
        expectRefusal(.EOPNOTSUPP, .noPASID, in: laboratory) {
            try context.attach(device: unable, to: capable, pasid: 3)
        }
        expectRefusal(.EINVAL, .badPASID, in: laboratory) {
            try context.attach(device: able, to: capable, pasid: 16)
        }
        try context.detach(device: able, pasid: 3)
        #expect(try laboratory.reach("able", 0x1000, pasid: 3) == nil)
    }
}
