import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

@Suite struct AttachTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let ioas: ObjectID
    let memory: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        ioas = try context.allocateIOAS()
        memory = try laboratory.memory()
    }

    func base(_ memory: ObjectID) throws -> UInt64 { try context.base(ofMemory: memory) }

    // MARK: Automatic hwpts

    @Test func attachedDevicesReachWhatIsMapped() throws {
        try laboratory.map(ioas, memory, at: 0x1000, length: 0x3000, offset: 0x5000)
        let device = try laboratory.bind(ObjectLaboratory.pci)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000) == nil)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x2010) == base(memory) + 0x6010)
        // Mapped and unmapped while attached.
        try laboratory.map(ioas, memory, at: 0x9000, access: .read)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x9000) == base(memory))
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x9000, .write) == nil)
        _ = try context.unmap(ioas: ioas, iova: 0x9000, length: 0x1000)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x9000) == nil)
        try context.detach(device: device, pasid: nil)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x2010) == nil)
        try context.detach(device: device, pasid: nil)
    }

    @Test func automaticHwptsAreSharedAndGoWithTheirLastDevice() throws {
        let first = try laboratory.bind(ObjectLaboratory.pci)
        let second = try laboratory.bind(ObjectLaboratory.stalling)
        let other = try laboratory.bind(ObjectLaboratory.other)
        let hwpt = try context.attach(device: first, to: ioas, pasid: nil)
        #expect(try context.attach(device: second, to: ioas, pasid: nil) == hwpt)
        // Another SMMU needs a table of its own.
        let foreign = try context.attach(device: other, to: ioas, pasid: nil)
        #expect(foreign != hwpt)
        try laboratory.map(ioas, memory, at: 0x1000)
        for name in [ObjectLaboratory.pci, ObjectLaboratory.stalling, ObjectLaboratory.other] {
            #expect(try laboratory.reach(name, 0x1000) == base(memory))
        }
        expectRefusal(.EBUSY, in: laboratory) { try context.destroy(object: hwpt) }
        expectRefusal(.EBUSY, in: laboratory) { try context.destroy(object: ioas) }
        try context.detach(device: first, pasid: nil)
        #expect(context.table[hwpt] != nil)
        try context.unbind(device: second)
        #expect(context.table[hwpt] == nil)
        #expect(context.table[foreign] != nil)
    }

    @Test func explicitHwptsStayAndAreFullFromTheStart() throws {
        try laboratory.map(ioas, memory, at: 0x1000)
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
        // Linked here and not at the first attach: the device's reach bounds the IOAS now.
        #expect(try context.iovaRanges(ioas: ioas).ranges.last?.last == (1 << 48) - 1)
        expectRefusal(.EINVAL, .iovaReserved, in: laboratory) { try laboratory.map(ioas, memory, at: 1 << 48) }
        try laboratory.map(ioas, memory, at: 0x2000)
        #expect(try context.attach(device: device, to: hwpt, pasid: nil) == hwpt)
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x1000) == base(memory))
        #expect(try laboratory.reach(ObjectLaboratory.pci, 0x2000) == base(memory))
        try context.detach(device: device, pasid: nil)
        try context.destroy(object: hwpt)
        #expect(try context.iovaRanges(ioas: ioas).ranges == [.everything])
    }

    @Test func attachNeedsTheRightObject() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let other = try laboratory.bind(ObjectLaboratory.other)
        let foreign = try context.allocateHWPT(HWPTRequest(device: other, pt: ioas))
        let fault = try context.allocateFaultQueue()
        expectRefusal(.ENOENT, in: laboratory) { try context.attach(device: 99, to: ioas, pasid: nil) }
        expectRefusal(.ENOENT, in: laboratory) { try context.attach(device: ioas, to: ioas, pasid: nil) }
        for id in [0, 99, .max] as [ObjectID] {
            expectRefusal(.ENOENT, in: laboratory) { try context.attach(device: device, to: id, pasid: nil) }
        }
        expectRefusal(.EINVAL, .wrongKind, in: laboratory) {
            try context.attach(device: device, to: fault, pasid: nil)
        }
        expectRefusal(.EINVAL, .wrongKind, in: laboratory) {
            try context.attach(device: device, to: other, pasid: nil)
        }
        expectRefusal(.EINVAL, .otherSMMU, in: laboratory) {
            try context.attach(device: device, to: foreign, pasid: nil)
        }
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        expectRefusal(.EBUSY, .alreadyAttached, in: laboratory) {
            try context.attach(device: device, to: ioas, pasid: nil)
        }
        expectRefusal(.EINVAL, .notAttached, in: laboratory) {
            try context.replace(device: other, with: ioas, pasid: nil)
        }
    }

    // MARK: Reserved regions

    @Test func reservedRegionsAreTakenOutWhileAttached() throws {
        let device = try laboratory.bind(ObjectLaboratory.reserving)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        let ranges = try context.iovaRanges(ioas: ioas).ranges
        #expect(ranges.map(\.start) == [0, 0x0810_0000, 0x4010_0000])
        #expect(ranges.map(\.last) == [0x07ff_ffff, 0x3fff_ffff, (1 << 48) - 1])
        expectRefusal(.EINVAL, .iovaReserved, in: laboratory) { try laboratory.map(ioas, memory, at: 0x4000_0000) }
        expectRefusal(.EINVAL, .iovaReserved, in: laboratory) {
            try laboratory.map(ioas, memory, at: 0x3fff_f000, length: 0x2000)
        }
        expectRefusal(.EINVAL, .iovaReserved, in: laboratory) { try laboratory.map(ioas, memory, at: 0x0800_0000) }
        try context.detach(device: device, pasid: nil)
        #expect(try context.iovaRanges(ioas: ioas).ranges == [.everything])
        try laboratory.map(ioas, memory, at: 0x4000_0000)
        expectRefusal(.EADDRINUSE, .mappingInReservedRegion, in: laboratory) {
            try context.attach(device: device, to: ioas, pasid: nil)
        }
        let explanation = try context.explain(deviceNamed: ObjectLaboratory.reserving)
        #expect(!explanation.viable)
        #expect(explanation.reasons.map(\.reason) == [.mappingInReservedRegion])
        #expect(explanation.reasons[0].members.map(\.key) == ["region", "mapping"])
    }

    @Test func everyRefusalNamesTheDevice() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        let full = try context.allocateIOAS()
        try laboratory.map(full, memory, at: 1 << 50)
        let odd = try context.allocateIOAS()
        try laboratory.map(odd, memory, at: 1, length: 1)
        let refusing = [full, odd, 99, device]
        func expectDevice(_ body: () throws -> ObjectID) {
            let error = #expect(throws: IOMMUError.self) { try body() }
            #expect(error?.members.contains(.init("device", .number(UInt64(device)))) == true)
        }
        for pt in refusing { expectDevice { try context.attach(device: device, to: pt, pasid: nil) } }
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        for pt in refusing { expectDevice { try context.replace(device: device, with: pt, pasid: nil) } }
    }

    @Test func anAttachDoesNotNarrowAllowedRanges() throws {
        try context.allowIOVAs(ioas: ioas, ranges: [try #require(AddressRange(start: 0, last: 0x7fff_ffff))])
        let device = try laboratory.bind(ObjectLaboratory.pci)
        expectRefusal(.EADDRINUSE, .allowedRangeNarrowed, in: laboratory) {
            try context.attach(device: device, to: ioas, pasid: nil)
        }
        try context.allowIOVAs(ioas: ioas, ranges: [try #require(AddressRange(start: 0x1000_0000, last: 0x7fff_ffff))])
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x1000_0000)
    }

    @Test func mappingsBeyondTheTableRefuseIt() throws {
        try laboratory.map(ioas, memory, at: 1 << 50)
        let device = try laboratory.bind(ObjectLaboratory.pci)
        expectRefusal(.EADDRINUSE, in: laboratory) { try context.attach(device: device, to: ioas, pasid: nil) }
        expectRefusal(.EADDRINUSE, in: laboratory) { try context.allocateHWPT(HWPTRequest(device: device, pt: ioas)) }
    }

    // MARK: Groups

    @Test func groupsMoveTogether() throws {
        let first = try laboratory.bind(ObjectLaboratory.pairFirst)
        let second = try laboratory.bind(ObjectLaboratory.pairSecond)
        let elsewhere = try context.allocateIOAS()
        try laboratory.map(ioas, memory, at: 0x1000)
        let hwpt = try context.attach(device: first, to: ioas, pasid: nil)
        // The sibling is behind the same table from now on.
        #expect(try laboratory.reach(ObjectLaboratory.pairSecond, 0x1000) == base(memory))
        expectRefusal(.EINVAL, .groupAttachedElsewhere, in: laboratory) {
            try context.attach(device: second, to: elsewhere, pasid: nil)
        }
        let explicit = try context.allocateHWPT(HWPTRequest(device: second, pt: ioas))
        expectRefusal(.EINVAL, .groupAttachedElsewhere, in: laboratory) {
            try context.attach(device: second, to: explicit, pasid: nil)
        }
        #expect(try context.attach(device: second, to: hwpt, pasid: nil) == hwpt)
        try context.detach(device: first, pasid: nil)
        #expect(try laboratory.reach(ObjectLaboratory.pairFirst, 0x1000) == base(memory))
        try context.detach(device: second, pasid: nil)
        #expect(try laboratory.reach(ObjectLaboratory.pairFirst, 0x1000) == nil)
        #expect(try laboratory.reach(ObjectLaboratory.pairSecond, 0x1000) == nil)
        #expect(context.table[hwpt] == nil)
    }

    @Test func replaceMovesTheGroupAcrossIOASes() throws {
        let first = try laboratory.bind(ObjectLaboratory.pairFirst)
        let second = try laboratory.bind(ObjectLaboratory.pairSecond)
        let elsewhere = try context.allocateIOAS()
        try laboratory.map(ioas, memory, at: 0x1000)
        try laboratory.map(elsewhere, memory, at: 0x1000, offset: 0x8000)
        let old = try context.attach(device: first, to: ioas, pasid: nil)
        _ = try context.attach(device: second, to: ioas, pasid: nil)
        let new = try context.replace(device: second, with: elsewhere, pasid: nil)
        #expect(new != old && context.table[old] == nil)
        for name in [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond] {
            #expect(try laboratory.reach(name, 0x1000) == base(memory) + 0x8000)
        }
        #expect(try context.iovaRanges(ioas: ioas).ranges == [.everything])
        #expect(try context.iovaRanges(ioas: elsewhere).ranges.count == 2)
        #expect(try context.replace(device: first, with: elsewhere, pasid: nil) == new)
        // A failure leaves the old one at work.
        try laboratory.map(ioas, memory, at: 0x0800_0000)
        expectRefusal(.EADDRINUSE, in: laboratory) { try context.replace(device: first, with: ioas, pasid: nil) }
        #expect(try laboratory.reach(ObjectLaboratory.pairFirst, 0x1000) == base(memory) + 0x8000)
    }

    @Test func groupsBelongToOneSession() throws {
        let other = laboratory.backend.makeContext(
            owner: "session vm2 of uid 7", account: Account(uid: 7), limits: ContextLimits())
        let device = try other.bind(deviceNamed: ObjectLaboratory.pairFirst).device
        for name in [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond] {
            expectRefusal(.EBUSY, .groupOwnedElsewhere, in: laboratory) { try laboratory.bind(name) }
        }
        let explanation = try context.explain(deviceNamed: ObjectLaboratory.pairSecond)
        #expect(!explanation.viable && explanation.reasons.count == 1)
        #expect(explanation.reasons[0].members.contains(.init("session", .text("a session of user 7"))))
        #expect(explanation.reasons[0].members.contains(.init("device", .text(ObjectLaboratory.pairFirst))))
        try other.unbind(device: device)
        _ = try laboratory.bind(ObjectLaboratory.pairSecond)
        expectRefusal(.EBUSY, .alreadyBound, in: laboratory) { try laboratory.bind(ObjectLaboratory.pairSecond) }
        expectRefusal(.ENODEV, .unknownDevice, in: laboratory) { try laboratory.bind("0000:99:00.0") }
        other.close()
    }

    @Test func incoherentDevicesAreRefused() throws {
        var description = DeviceDescription(name: "incoherent", smmu: "smmu0", streamIDs: [0x900])
        description.coherent = false
        try laboratory.backend.addDevice(description)
        expectRefusal(.EINVAL, .notCacheCoherent, in: laboratory) { try laboratory.bind("incoherent") }
        #expect(try context.explain(deviceNamed: "incoherent").reasons.map(\.reason) == [.notCacheCoherent])
    }

    @Test func anUnknownTargetIsToldBeforeTheState() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        expectRefusal(.ENOENT, .unknownPt, in: laboratory) {
            try context.replace(device: device, with: 99, pasid: nil)
        }
        expectRefusal(.EINVAL, .wrongKind, in: laboratory) {
            try context.replace(device: device, with: device, pasid: nil)
        }
        expectRefusal(.EINVAL, .notAttached, in: laboratory) {
            try context.replace(device: device, with: ioas, pasid: nil)
        }
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        expectRefusal(.ENOENT, .unknownPt, in: laboratory) {
            try context.attach(device: device, to: 99, pasid: nil)
        }
    }
}
