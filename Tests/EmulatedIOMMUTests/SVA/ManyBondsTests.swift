import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Ten devices share a thousand address spaces each.
@Suite struct ManyBondsTests {
    private static let deviceCount = 10
    private static let mmCount = 1000

    private func makeLaboratory() throws -> Laboratory {
        try Laboratory { topology in
            topology.devices = (0..<Self.deviceCount).map { index in
                Laboratory.device(
                    "0000:10:00.\(index)", 0x1000 + UInt32(index), smmu: index < 5 ? "smmu0" : "smmu1", pasidBits: 10,
                    stall: true)
            }
        }
    }

    private func tagsInUse(_ laboratory: Laboratory) -> [Int?] {
        let backend = laboratory.backend
        let sources = [backend.sva.pasids, backend.sva.cpuASIDs] + backend.smmus.map(\.driver.asids)
        return sources.map { ($0 as? TagAllocator)?.inUse }
    }

    @Test(arguments: [true, false])
    func tenThousandBonds(unbinds: Bool) throws {
        let laboratory = try makeLaboratory()
        let context = laboratory.backend.makeContext(
            owner: "other", account: laboratory.account, limits: ContextLimits())
        let devices = try (0..<Self.deviceCount).map { try context.bind(deviceNamed: "0000:10:00.\($0)").device }
        // The CD table of a device stays once it has been made.
        let first = try context.emulated.createMM()
        for device in devices {
            #expect(
                try context.emulated.unbindSVA(bond: try context.emulated.bindSVA(device: device, mm: first).bond) == 0)
        }
        try context.emulated.closeMM(first)
        let charged = laboratory.account.used(.objects)
        var (bonds, pairs): (Set<ObjectID>, Set<[UInt32]>) = ([], [])
        var mms: [ObjectID] = []
        for number in 1...UInt32(Self.mmCount) {
            let mm = try context.emulated.createMM()
            mms.append(mm)
            for (index, device) in devices.enumerated() {
                let bound = try context.emulated.bindSVA(device: device, mm: mm)
                #expect(bound.pasid == number)
                bonds.insert(bound.bond)
                pairs.insert([UInt32(index), bound.pasid])
            }
        }
        #expect(bonds.count == 10_000 && pairs.count == 10_000 && context.emulated.bonds().count == 10_000)
        #expect(tagsInUse(laboratory) == [1000, 1000, 1000, 1000])
        #expect(refusal { _ = try context.emulated.bindSVA(device: 0, mm: mms[0]) }?.errno == .ENOENT)
        if unbinds {
            for bond in bonds { #expect(try context.emulated.unbindSVA(bond: bond) == 0) }
            for mm in mms { try context.emulated.closeMM(mm) }
            #expect(laboratory.account.used(.objects) == charged)
        } else {
            context.close()
        }
        #expect(tagsInUse(laboratory) == [0, 0, 0, 0])
        #expect(laboratory.backend.sva.all.isEmpty && context.emulated.bonds().isEmpty)
        for device in laboratory.backend.devices {
            #expect(device.device.sharedPASIDs.isEmpty && device.master.pasidAttachments.isEmpty)
            for pasid in [1, 500, 1000] as [UInt32] {
                let streamID = try #require(device.description.streamIDs.first)
                let descriptor = device.smmu.smmu.lookupCD(streamID: streamID, substreamID: pasid)
                #expect(descriptor?.V != true)
            }
        }
        if unbinds { context.close() }
        #expect(laboratory.account.used(.objects) == 0)
    }
}
