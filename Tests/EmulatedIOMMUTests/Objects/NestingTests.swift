import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

@Suite struct NestingTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let guest: Guest

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        guest = try Guest(laboratory)
    }

    func invalidate(_ commands: [Command]) throws -> Int {
        try context.invalidate(target: guest.viommu, type: "arm_smmuv3", entries: commands.map { ($0.word0, $0.word1) })
    }

    // MARK: Translation

    @Test func bothStagesTranslateAndStaleTranslationsStay() throws {
        try guest.store(Guest.level3, Guest.page(Guest.data))
        _ = try guest.attach()
        #expect(try guest.reach(Guest.va + 8) == guest.physical(Guest.data + 8))
        // The guest changes its table: what is cached stays until it says so.
        try guest.store(Guest.level3, Guest.page(Guest.data + 0x5000))
        #expect(try guest.reach(Guest.va + 8) == guest.physical(Guest.data + 8))
        #expect(try invalidate([.TLBI_NH_VA(address: Guest.va, asid: 1), .TLBI_NH_ASID(asid: 9)]) == 2)
        #expect(try guest.reach(Guest.va + 8) == guest.physical(Guest.data + 0x5008))
    }

    @Test func everyInvalidationOfTheGuestWorks() throws {
        let virtual = UInt32(Guest.virtualID)
        let forgetting: [Command] = [
            .TLBI_NSNH_ALL(), .TLBI_NH_ALL(), .TLBI_NH_ASID(asid: 1), .TLBI_NH_VA(address: Guest.va, asid: 1),
            .TLBI_NH_VAA(address: Guest.va),
        ]
        _ = try guest.attach()
        for (index, command) in forgetting.enumerated() {
            let address = Guest.data + UInt64(index) << 12
            try guest.store(Guest.level3, Guest.page(address))
            #expect(try invalidate([command]) == 1)
            #expect(try guest.reach(Guest.va) == guest.physical(address), "\(command.opcode.map { "\($0)" } ?? "")")
        }
        var disabled = Guest.contextDescriptor
        disabled.V = false
        for command in [.CFGI_CD(streamID: virtual, substreamID: 0), .CFGI_CD_ALL(streamID: virtual)] as [Command] {
            try guest.storeCD(disabled)
            #expect(try guest.reach(Guest.va) != nil)
            #expect(try invalidate([command]) == 1)
            #expect(try guest.reach(Guest.va) == nil)
            try guest.storeCD(Guest.contextDescriptor)
            #expect(try invalidate([command]) == 1)
            #expect(try guest.reach(Guest.va) != nil)
        }
        #expect(try invalidate([.ATC_INV(streamID: virtual, substreamID: nil, address: 0, size: 52)]) == 1)
    }

    @Test func abortAndBypassNeedNoVDevice() throws {
        try context.destroy(object: guest.vdevice)
        let abort = try guest.attach((1, 0))
        #expect(try guest.reach(Guest.data) == nil)
        let bypass = try guest.nested((1 | 4 << 1, 0))
        _ = try context.replace(device: guest.device, with: bypass, pasid: nil)
        #expect(try guest.reach(Guest.data) == guest.physical(Guest.data))
        let translating = try guest.nested()
        expectRefusal(.ENOENT, .vdeviceRequired, in: laboratory) {
            try context.replace(device: guest.device, with: translating, pasid: nil)
        }
        try context.destroy(object: abort)
    }

    @Test func theParentIsUsedByWhatNestsInIt() throws {
        let hwpt = try guest.attach()
        func users(_ id: ObjectID) -> Int { context.table[id]?.users ?? -1 }
        #expect(users(guest.parent) == 2 && users(guest.viommu) == 2 && users(hwpt) == 1)
        // The stage 2 is linked once however many stage 1 hang on it.
        let second = try guest.nested()
        #expect(users(guest.ioas) == 1)
        for id in [guest.parent, guest.viommu, guest.ioas, hwpt] {
            expectRefusal(.EBUSY, .objectInUse, in: laboratory) { try context.destroy(object: id) }
        }
        try context.detach(device: guest.device, pasid: nil)
        for id in [second, hwpt, guest.vdevice, guest.viommu, guest.parent, guest.ioas] {
            try context.destroy(object: id)
        }
    }

    // MARK: Bad input

    @Test func everyVSTEBit() throws {
        var allowed = [UInt64](repeating: 0, count: 2)
        allowed[0] = 0xf80f_ffff_ffff_ffff
        allowed[1] = 0x3800_00ff
        for word in 0..<2 {
            for bit in 0..<64 as Range<UInt64> {
                var vste = Guest.vste
                if word == 0 { vste.0 |= 1 << bit } else { vste.1 |= 1 << bit }
                let config = vste.0 >> 1 & 7
                let isLegal = allowed[word] >> bit & 1 == 1 && [0, 4, 5].contains(config) && vste.1 >> 28 & 3 <= 1
                if isLegal {
                    try context.destroy(object: try guest.nested(vste))
                } else {
                    expectRefusal(.EIO, in: laboratory) { try guest.nested(vste) }
                }
            }
        }
        for config in 0..<8 as Range<UInt64> where ![0, 4, 5].contains(config) {
            expectRefusal(.EIO, in: laboratory) { try guest.nested((1 | config << 1, 0)) }
        }
    }

    @Test func everyCommandOpcode() throws {
        let accepted: Set<UInt64> = [0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x30, 0x40]
        _ = try guest.attach()
        for opcode in 0..<256 as Range<UInt64> {
            // 32 to 47 is the VMID where it is not the StreamID: the host's own takes its place. Only 0x30 has neither.
            let entry = (opcode | (opcode == 0x30 ? 0 : Guest.virtualID << 32), UInt64(0))
            if accepted.contains(opcode) {
                #expect(try context.invalidate(target: guest.viommu, type: "arm_smmuv3", entries: [entry]) == 1)
            } else {
                expectRefusal(.EIO, .badCommand, in: laboratory) {
                    try context.invalidate(target: guest.viommu, type: "arm_smmuv3", entries: [entry])
                }
            }
        }
    }

    @Test func invalidationStopsAtTheFirstBadEntry() throws {
        let good = Command.TLBI_NH_ALL()
        let stranger = Command.CFGI_CD_ALL(streamID: 0x1234)
        do {
            _ = try invalidate([good, good, stranger, good])
            Issue.record("an unknown virtual StreamID was taken")
        } catch let error as IOMMUError {
            #expect(error.errno == .EIO && error.members.contains(.init("handled", .number(2))))
        }
        #expect(try invalidate([]) == 0)
    }

    @Test func invalidateNeedsAViommu() throws {
        let hwpt = try guest.nested()
        let entries: [(UInt64, UInt64)] = [(0x10, 0)]
        func run(_ target: ObjectID, _ type: String = "arm_smmuv3") throws -> Int {
            try context.invalidate(target: target, type: type, entries: entries)
        }
        expectRefusal(.EOPNOTSUPP, in: laboratory) { try run(hwpt) }
        for id in [guest.parent, guest.ioas, guest.device, guest.vdevice] {
            expectRefusal(.EINVAL, .wrongKind, in: laboratory) { try run(id) }
        }
        for id in [0, 99, .max] as [ObjectID] { expectRefusal(.ENOENT, in: laboratory) { try run(id) } }
        expectRefusal(.EINVAL, in: laboratory) { try run(guest.viommu, "vtd_s1") }
    }

    @Test func viommusAndVDevicesAreChecked() throws {
        let plain = try context.allocateHWPT(HWPTRequest(device: guest.device, pt: guest.ioas))
        let other = try laboratory.bind(ObjectLaboratory.other)
        let second = try laboratory.bind(ObjectLaboratory.stalling)
        func viommu(_ device: ObjectID, _ hwpt: ObjectID, _ type: String = "arm_smmuv3") throws -> ObjectID {
            try context.allocateVIOMMU(device: device, hwpt: hwpt, type: type)
        }
        func vdevice(_ device: ObjectID, _ id: UInt64, in viommu: ObjectID? = nil) throws -> ObjectID {
            try context.allocateVDevice(viommu: viommu ?? guest.viommu, device: device, virtualID: id)
        }
        expectRefusal(.EINVAL, .notANestParent, in: laboratory) { try viommu(guest.device, plain) }
        expectRefusal(.EINVAL, .otherSMMU, in: laboratory) { try viommu(other, guest.parent) }
        expectRefusal(.ENOENT, in: laboratory) { try viommu(guest.device, guest.ioas) }
        expectRefusal(.ENOENT, in: laboratory) { try viommu(99, guest.parent) }
        expectRefusal(.EOPNOTSUPP, in: laboratory) { try viommu(guest.device, guest.parent, "tegra241") }
        expectRefusal(.EEXIST, .vdeviceExists, in: laboratory) { try vdevice(guest.device, 5) }
        expectRefusal(.EEXIST, .virtualIDTaken, in: laboratory) { try vdevice(second, Guest.virtualID) }
        expectRefusal(.EINVAL, .otherSMMU, in: laboratory) { try vdevice(other, 5) }
        expectRefusal(.EINVAL, .badVirtualID, in: laboratory) { try vdevice(second, 1 << 32) }
        expectRefusal(.ENOENT, in: laboratory) { try vdevice(99, 5) }
        expectRefusal(.ENOENT, in: laboratory) { try vdevice(second, 5, in: guest.parent) }
        try laboratory.backend.addDevice(DeviceDescription(name: "two", smmu: "smmu0", streamIDs: [0x801, 0x802]))
        let two = try laboratory.bind("two")
        expectRefusal(.EOPNOTSUPP, in: laboratory) { try vdevice(two, 5) }
        for flags in [.nestParent, .dirtyTracking, .pasid] as [HWPTFlags] {
            expectRefusal(.EOPNOTSUPP, in: laboratory) {
                try context.allocateHWPT(
                    HWPTRequest(device: guest.device, pt: guest.viommu, flags: flags, vste: Guest.vste))
            }
        }
        expectRefusal(.EOPNOTSUPP, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: guest.device, pt: guest.viommu))
        }
        expectRefusal(.EINVAL, in: laboratory) {
            try context.allocateHWPT(HWPTRequest(device: other, pt: guest.viommu, vste: Guest.vste))
        }
    }

    // MARK: Events
}
