import IOMMU
import Testing

@testable import EmulatedIOMMU
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
        expectRefusal(.EBUSY, .pasidsInUse, in: laboratory) {
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
}
