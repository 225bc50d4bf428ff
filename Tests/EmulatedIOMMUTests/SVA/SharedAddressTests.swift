import Glibc
import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Bonds and accesses through synthetic address spaces.
@Suite struct SharedAddressTests {
    static let devices = ["0000:01:00.0", "0000:03:00.0", "0000:05:00.0", "uacce0", "0001:01:00.0"]

    private func makeMM(
        _ laboratory: Laboratory, at va: UInt64 = 0x40_0000, pages: UInt64 = 8, populate: Bool = true,
        access: IOMMU.Access = [.read, .write]
    ) throws -> (mm: ObjectID, memory: ObjectID) {
        let memory = try laboratory.context.createMemory(size: pages << 12, name: nil, huge: false)
        let mm = try laboratory.context.emulated.createMM()
        try laboratory.context.emulated.mapMM(
            mm, va: va, memory: memory, offset: 0, length: pages << 12, access: access, populate: populate)
        return (mm, memory)
    }

    @Test(arguments: devices, [true, false])
    func devicesUseVirtualAddresses(name: String, populate: Bool) throws {
        let laboratory = try Laboratory()
        let device = try laboratory.bind(name)
        let (mm, memory) = try makeMM(laboratory, populate: populate)
        let (_, pasid, _) = try laboratory.context.emulated.bindSVA(device: device, mm: mm)
        let bytes = (0..<9000).map { UInt8(truncatingIfNeeded: $0) }
        try laboratory.write(device, pasid: pasid, 0x40_0800, bytes)
        #expect(try laboratory.read(device, pasid: pasid, 0x40_0800, 9000) == bytes)
        #expect(try laboratory.context.readMemory(memory, offset: 0x800, length: 9000) == bytes)
        let missing = refusal { _ = try laboratory.read(device, pasid: pasid, 0x50_0000, 1) }
        #expect(missing?.errno == .EFAULT)
        #expect(laboratory.takeEvents().allSatisfy { $0.kind != .smmuEvent }, "a process's mistake is not logged")
        try laboratory.context.emulated.unmapMM(mm, va: 0x40_1000, length: 4096)
        #expect(refusal { _ = try laboratory.read(device, pasid: pasid, 0x40_0ff0, 32) }?.errno == .EFAULT)
        #expect(try laboratory.read(device, pasid: pasid, 0x40_2000, 16).count == 16)
    }

    @Test(arguments: [false, true])
    func devicesWorkOnDataOnly(privileged: Bool) throws {
        let laboratory = try Laboratory()
        let (mm, _) = try makeMM(laboratory, populate: true)
        let pasid = try laboratory.context.emulated.bindSVA(device: try laboratory.bind("0000:03:00.0"), mm: mm).pasid
        func translate(_ access: AccessKind) throws -> TranslationOutcome {
            let transaction = TransactionRequest(
                streamID: 0x300, pasid: pasid, address: 0x40_0800, access: access, privileged: privileged)
            return try laboratory.context.emulated.translate(smmu: "smmu0", transaction, trace: false).outcome
        }
        guard case .translated = try translate(.write) else { return #expect(Bool(false), "it is mapped") }
        guard case .fault(let fault) = try translate(.execute) else { return #expect(Bool(false), "no code") }
        #expect(fault.type == "F_PERMISSION" && fault.stallTag != nil)
    }

    @Test func oneBondAndOnePASIDPerPair() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let first = try laboratory.bind("0000:03:00.0")
        let second = try laboratory.bind("0000:05:00.0")
        let plain = try laboratory.bind("0000:04:00.0")
        let (mm, _) = try makeMM(laboratory)
        let a = try context.emulated.bindSVA(device: first, mm: mm)
        let b = try context.emulated.bindSVA(device: first, mm: mm)
        let c = try context.emulated.bindSVA(device: second, mm: mm)
        #expect(a.bond == b.bond && a.bond != c.bond && a.pasid == c.pasid && a.asid == c.asid)
        #expect(context.emulated.bonds().map(\.users) == [2, 1])
        #expect(refusal { _ = try context.emulated.bindSVA(device: plain, mm: mm) }?.errno == .ENODEV)
        #expect(refusal { try context.emulated.closeMM(mm) }?.errno == .EBUSY)
        let (other, _) = try makeMM(laboratory)
        #expect(try context.emulated.bindSVA(device: first, mm: other).pasid == a.pasid + 1)
        #expect(try context.emulated.unbindSVA(bond: a.bond) == 1)
        #expect(try context.emulated.unbindSVA(bond: a.bond) == 0)
        #expect(refusal { _ = try context.emulated.unbindSVA(bond: a.bond) }?.errno == .ENOENT)
        #expect(try context.emulated.unbindSVA(bond: c.bond) == 0)
        let (third, _) = try makeMM(laboratory)
        #expect(try context.emulated.bindSVA(device: second, mm: third).pasid == a.pasid, "the PASID is free again")
        try context.emulated.closeMM(mm)
        #expect(refusal { _ = try context.emulated.bindSVA(device: first, mm: mm) }?.errno == .ENOENT)
    }

    @Test func aPASIDTooLargeForADeviceIsRefused() throws {
        let laboratory = try Laboratory { $0.devices[1].pasidBits = 1 }
        let context = laboratory.context
        let small = try laboratory.bind("0000:03:00.0")
        let large = try laboratory.bind("0000:05:00.0")
        let (one, _) = try makeMM(laboratory)
        let (two, _) = try makeMM(laboratory)
        _ = try context.emulated.bindSVA(device: large, mm: one)
        #expect(try context.emulated.bindSVA(device: large, mm: two).pasid == 2)
        #expect(refusal { _ = try context.emulated.bindSVA(device: small, mm: two) }?.errno == .EOVERFLOW)
        _ = try context.emulated.bindSVA(device: small, mm: one)
        let (three, _) = try makeMM(laboratory)
        #expect(refusal { _ = try context.emulated.bindSVA(device: small, mm: three) }?.errno == .ENOSPC)
        #expect(try context.emulated.bindSVA(device: large, mm: three).pasid == 3)
    }

    @Test func aSiblingWithoutPASIDsIsLeftOut() throws {
        let laboratory = try Laboratory {
            for (index, bits) in [4, 0].enumerated() {
                var device = Laboratory.device("pair\(index)", 0x700 + UInt32(index), pasidBits: bits, stall: true)
                device.group = "pair"
                $0.devices.append(device)
            }
        }
        let (mm, _) = try makeMM(laboratory)
        let device = try laboratory.bind("pair0")
        let sibling = try laboratory.bind("pair1")
        let refused = refusal { _ = try laboratory.context.emulated.bindSVA(device: sibling, mm: mm) }
        #expect(refused?.errno == .ENODEV && refused?.reason == .noSVA)
        let bond = try laboratory.context.emulated.bindSVA(device: device, mm: mm)
        try laboratory.write(device, pasid: bond.pasid, 0x40_0000, [1])
        #expect(try laboratory.backend.device(named: "pair1").master.pasidAttachments.isEmpty)
        #expect(try laboratory.backend.device(named: "pair1").device.sharedPASIDs.isEmpty)
        #expect(try laboratory.context.emulated.unbindSVA(bond: bond.bond) == 0)
    }

    @Test func stageTwoLeavesNoRoomForPASIDs() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("0000:03:00.0")
        let ioas = try context.allocateIOAS()
        let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        _ = try context.attach(device: device, to: parent, pasid: nil)
        let (mm, _) = try makeMM(laboratory)
        #expect(refusal { _ = try context.emulated.bindSVA(device: device, mm: mm) }?.errno == .EINVAL)
        #expect((laboratory.backend.sva.pasids as? TagAllocator)?.inUse == 0)
        try context.detach(device: device, pasid: nil)
        _ = try context.emulated.bindSVA(device: device, mm: mm)
        #expect(refusal { _ = try context.attach(device: device, to: parent, pasid: nil) }?.errno == .EBUSY)
    }

    @Test func pasidsTakenOtherwiseAreAvoided() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("0000:03:00.0")
        let ioas = try context.allocateIOAS()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        _ = try context.attach(device: device, to: hwpt, pasid: 1)
        let (mm, _) = try makeMM(laboratory)
        #expect(try context.emulated.bindSVA(device: device, mm: mm).pasid == 2)
        #expect(refusal { _ = try context.attach(device: device, to: hwpt, pasid: 2) }?.errno == .EBUSY)
    }

    @Test(arguments: devices)
    func exitIsQuietUntilUnbound(name: String) throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind(name)
        let emulated = try laboratory.backend.device(named: name)
        let ioas = try context.allocateIOAS()
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        let (mm, _) = try makeMM(laboratory)
        let (bond, pasid, asid) = try context.emulated.bindSVA(device: device, mm: mm)
        try laboratory.write(device, pasid: pasid, 0x40_0000, [1])
        _ = laboratory.takeEvents()
        try context.emulated.exitMM(mm)
        try context.emulated.exitMM(mm)
        #expect(laboratory.takeEvents().map(\.kind) == [.mmExit, .bond])
        #expect(context.emulated.bonds().first?.state == "quiesced")
        let streamID = try #require(emulated.description.streamIDs.first)
        let descriptor = try #require(emulated.smmu.smmu.lookupCD(streamID: streamID, substreamID: pasid))
        #expect(descriptor.V && descriptor.EPD0 && !descriptor.R && !descriptor.S && descriptor.A)
        #expect(descriptor.ASID == UInt64(asid))
        for _ in 0..<3 {
            let error = refusal { try laboratory.write(device, pasid: pasid, 0x40_0000, [2]) }
            #expect(error?.errno == .EFAULT)
            #expect(error?.reason == .quiesced)
            #expect(error?.member("event") == nil)
        }
        #expect(laboratory.takeEvents().isEmpty)
        #expect(refusal { _ = try context.emulated.bindSVA(device: device, mm: mm) }?.errno == .ESRCH)
        let (next, _) = try makeMM(laboratory)
        #expect(try context.emulated.bindSVA(device: device, mm: next).pasid != pasid, "the PASID stays taken")
        #expect(try context.emulated.unbindSVA(bond: bond) == 0)
        let reported = refusal { try laboratory.write(device, pasid: pasid, 0x40_0000, [2]) }
        #expect(reported?.eventType == "C_BAD_CD")
    }

    @Test func bothSidesOfALeafOfContextDescriptors() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("0000:05:00.0")
        var bonds: [ObjectID] = []
        for expected in 1...1030 as ClosedRange<UInt32> {
            let mm = try context.emulated.createMM()
            let bound = try context.emulated.bindSVA(device: device, mm: mm)
            #expect(bound.pasid == expected)
            bonds.append(bound.bond)
        }
        for pasid in [1023, 1024, 1025] as [UInt32] {
            let memory = try context.createMemory(size: 4096, name: nil, huge: false)
            try context.writeMemory(memory, offset: 0, bytes: [UInt8(truncatingIfNeeded: pasid)])
            try context.emulated.mapMM(
                pasid, va: 0x1000, memory: memory, offset: 0, length: 4096, access: .read, populate: false)
            #expect(try laboratory.read(device, pasid: pasid, 0x1000, 1) == [UInt8(truncatingIfNeeded: pasid)])
        }
        for bond in bonds { #expect(try context.emulated.unbindSVA(bond: bond) == 0) }
        #expect(laboratory.backend.sva.pasids is TagAllocator)
        #expect((laboratory.backend.sva.pasids as? TagAllocator)?.inUse == 0)
    }

    @Test func areasBehaveLikeThoseOfAProcess() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("0000:03:00.0")
        let (mm, memory) = try makeMM(laboratory, access: .read)
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        let readOnly = refusal { try laboratory.write(device, pasid: pasid, 0x40_0000, [1]) }
        #expect(readOnly?.errno == .EFAULT)
        func map(_ va: UInt64, _ offset: UInt64, _ length: UInt64) throws {
            try context.emulated.mapMM(
                mm, va: va, memory: memory, offset: offset, length: length, access: [.read, .write], populate: true)
        }
        #expect(refusal { try map(0x40_7000, 0, 8192) }?.errno == .EEXIST)
        #expect(refusal { try map(0x50_0001, 0, 4096) }?.errno == .EINVAL)
        #expect(refusal { try map(0x50_0000, 0, 0) }?.errno == .EINVAL)
        #expect(refusal { try map(0x50_0000, 0, 0x9000) }?.errno == .EINVAL)
        #expect(refusal { try map(.max - 0xfff, 0, 0x2000) }?.errno == .EINVAL)
        #expect(refusal { try context.closeMemory(memory) }?.errno == .EBUSY)
        try context.emulated.unmapMM(mm, va: 0x40_2000, length: 0x2000)
        #expect(refusal { _ = try laboratory.read(device, pasid: pasid, 0x40_2000, 1) }?.errno == .EFAULT)
        try map(0x40_2000, 0x7000, 0x1000)
        try laboratory.write(device, pasid: pasid, 0x40_2000, [9])
        #expect(try context.readMemory(memory, offset: 0x7000, length: 1) == [9])
        #expect(try laboratory.read(device, pasid: pasid, 0x40_7000, 1) == [9], "the same page at two addresses")
        try context.emulated.unmapMM(mm, va: 0, length: 1 << 48)
        try context.closeMemory(memory)
    }

    /// As Linux, where munmap() may not make more areas than there may be.
    @Test func cuttingAreasIsBounded() throws {
        let laboratory = try Laboratory()
        var limits = ContextLimits()
        limits.mappings = 3
        let context = laboratory.backend.makeContext(owner: "bounded", account: laboratory.account, limits: limits)
        defer { context.close() }
        let memory = try context.createMemory(size: 16 << 12, name: nil, huge: false)
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0, memory: memory, offset: 0, length: 16 << 12, access: [.read, .write], populate: true)
        func unmap(_ pages: Range<UInt64>) throws {
            try context.emulated.unmapMM(mm, va: pages.lowerBound << 12, length: UInt64(pages.count) << 12)
        }
        try unmap(2..<3)
        try unmap(6..<7)
        #expect(refusal { try unmap(10..<11) }?.reason == .quotaExceeded)
        // What makes no area more is no matter.
        try unmap(5..<8)
        try unmap(12..<16)
        #expect(refusal { try unmap(10..<11) }?.reason == .quotaExceeded)
        try unmap(0..<2)
        try unmap(10..<11)
    }

    @Test func theSessionsEndFreesEverything() throws {
        let laboratory = try Laboratory()
        let context = laboratory.backend.makeContext(
            owner: "other", account: laboratory.account, limits: ContextLimits())
        let before = laboratory.backend.machine.tableBytes
        let device = try context.bind(deviceNamed: "uacce0").device
        let mm = try context.emulated.createMM()
        _ = try context.emulated.bindSVA(device: device, mm: mm)
        let (queue, _) = try context.emulated.openQueue(device: device, mm: mm)
        _ = try context.emulated.startQueue(queue)
        #expect(context.objects().map(\.kind) == ["device", "mm", "bond", "queue"])
        #expect(context.objectCount == 4)
        context.close()
        #expect(laboratory.account.used(.objects) == 0)
        #expect(laboratory.backend.sva.all.isEmpty)
        #expect((laboratory.backend.sva.pasids as? TagAllocator)?.inUse == 0)
        #expect(laboratory.backend.machine.tableBytes <= before + 65536, "only the device's CD table may stay")
        let emulated = try laboratory.backend.device(named: "uacce0")
        #expect(emulated.openQueues == 0 && emulated.device.sharedPASIDs.isEmpty)
    }
}
