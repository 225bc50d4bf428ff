import SMMUv3
import Testing

/// Stage 1 translation through CDs.
@Suite struct StageOneTests {
    private let machine: Machine
    private let root: UInt64
    private let cd: UInt64

    init() throws {
        machine = try Machine()
        root = machine.allocate()
        cd = machine.allocate()
        machine.set(machine.context(root), at: cd)
        machine.set(machine.stage1(cd), stream: 1)
    }

    private func refresh(_ change: (inout ContextDescriptor) -> Void) throws {
        var descriptor = machine.context(root)
        change(&descriptor)
        machine.set(descriptor, at: cd)
        try machine.submit(.CFGI_CD(streamID: 1, substreamID: 0), .TLBI_NH_ALL(), .SYNC())
    }

    @Test func mapsPagesAndBlocks() {
        machine.map(root, 0x1_2345_6000, 0x8000_1000)
        machine.map(root, 0x4000_0000, 0x9000_0000, leaf: 2)
        machine.map(root, 0x80_0000_0000, 0xc000_0000, leaf: 1)
        #expect(machine.translate(0x1_2345_6789).address == 0x8000_1789)
        #expect(machine.translate(0x401f_fff0).address == 0x901f_fff0)
        #expect(machine.translate(0x80_3fff_0000).address == 0xffff_0000)
        guard case .ok(let block) = machine.translate(0x4000_0000) else {
            Issue.record("no translation")
            return
        }
        #expect(block.pageSize == 0x20_0000 && block.isCached)
        #expect(block.attributes.memoryAttributes == 0xff)
    }

    @Test func outOfRangeIsATranslationFault() throws {
        let translation = machine.translate(0x1_0000_0000_0000, .write)
        let event = try #require(translation.event)
        #expect(event.type == .F_TRANSLATION && translation.isRecorded)
        #expect(
            event.CLASS == EventClass.IN.rawValue && !event.S2 && !event.RnW && event.InputAddr == 0x1_0000_0000_0000)
        #expect(try machine.events() == [event])
    }

    @Test func permissionsFollowPrivilege() {
        machine.map(root, 0x1000, 0x5000, PageDescriptor.AF | PageDescriptor.nG)
        #expect(machine.translate(0x1000).type == .F_PERMISSION)
        #expect(machine.translate(0x1000, privileged: true).address == 0x5000)
        machine.map(root, 0x2000, 0x6000, Machine.page | PageDescriptor.AP2)
        #expect(machine.translate(0x2000).address == 0x6000)
        #expect(machine.translate(0x2000, .write).type == .F_PERMISSION)
        machine.map(root, 0x3000, 0x7000, Machine.page | PageDescriptor.UXN)
        #expect(machine.translate(0x3000, .execute).event?.InD == true)
        #expect(machine.translate(0x3000, .execute).type == .F_PERMISSION)
        // What EL0 may write EL1 may not execute.
        #expect(machine.translate(0x3000, .execute, privileged: true).type == .F_PERMISSION)
    }

    @Test func tableAttributesRestrictAllBelow() throws {
        machine.map(root, 0x1000, 0x5000)
        machine.memory[root] |= PageDescriptor.APTable1
        #expect(machine.translate(0x1000, .write).type == .F_PERMISSION)
        #expect(machine.translate(0x1000).address == 0x5000)
        // The restriction is kept with the translation.
        #expect(machine.translate(0x1000, .write).type == .F_PERMISSION)
        try refresh { $0.HAD0 = true }
        #expect(machine.translate(0x1000, .write).address == 0x5000)
    }

    @Test func WXNAndPAN() throws {
        machine.map(root, 0x1000, 0x5000, Machine.page)
        try refresh { $0.WXN = true }
        #expect(machine.translate(0x1000, .execute).type == .F_PERMISSION)
        try refresh { $0.PAN = true }
        #expect(machine.translate(0x1000, privileged: true).type == .F_PERMISSION)
        #expect(machine.translate(0x1000).address == 0x5000)
    }

    @Test func topByteIsIgnoredWhereTBISaysSo() throws {
        machine.map(root, 0x1000, 0x5000)
        #expect(machine.translate(0x5600_0000_0000_1000).type == .F_TRANSLATION)
        try refresh { $0.TBI0 = true }
        #expect(machine.translate(0x5600_0000_0000_1000).address == 0x5000)
        let event = try #require(machine.translate(0x5600_0000_0000_2000).event)
        #expect(event.InputAddr == 0x5600_0000_0000_2000)
    }

    @Test func upperHalfUsesTTB1() throws {
        let upper = machine.allocate()
        machine.map(upper, 0xffff_0000_0000_1000 & 0xffff_ffff_ffff, 0x7000)
        try refresh { ($0.EPD1, $0.T1SZ, $0.TG1, $0.TTB1) = (false, 16, 2, upper) }
        #expect(machine.translate(0xffff_0000_0000_1234).address == 0x7234)
        #expect(machine.translate(0xfffe_0000_0000_1234).type == .F_TRANSLATION)
        try refresh { $0.EPD0 = true }
        #expect(machine.translate(0x1000).type == .F_TRANSLATION)
    }

    @Test func addressSizeComesBeforeAccessFlagAndPermission() {
        machine.map(root, 0x1000, 0x1000_0000_0000, PageDescriptor.nG)
        #expect(machine.translate(0x1000, .write).type == .F_ADDR_SIZE)
    }

    @Test func accessFlag() throws {
        machine.map(root, 0x1000, 0x5000, Machine.page & ~PageDescriptor.AF)
        #expect(machine.translate(0x1000).type == .F_ACCESS)
        try refresh { $0.AFFD = true }
        #expect(machine.translate(0x1000).address == 0x5000)
    }

    @Test func abortedFetches() throws {
        machine.memory[root] = 0x3_0000_0000 | 3
        let event = try #require(machine.translate(0x1000, .write).event)
        #expect(event.type == .F_WALK_EABT && event.CLASS == EventClass.TTD.rawValue && !event.S2 && !event.RnW)
        #expect(event.FetchAddr == 0x3_0000_0000)
        machine.set(machine.stage1(0x3_0000_0040), stream: 2)
        let cdEvent = try #require(machine.translate(0x1000, stream: 2).event)
        #expect(cdEvent.type == .F_CD_FETCH && cdEvent.FetchAddr == 0x3_0000_0040)
    }

    @Test func silentFaults() throws {
        try refresh { $0.R = false }
        let translation = machine.translate(0x1000)
        #expect(translation.type == .F_TRANSLATION && !translation.isRecorded && machine.smmu.lastFaultAborts)
        try refresh { ($0.R, $0.A) = (true, false) }
        #expect(machine.translate(0x1000).isRecorded && !machine.smmu.lastFaultAborts)
        #expect(try machine.events().count == 1)
    }

    @Test func everyTableWordIsReadOnce() throws {
        machine.map(root, 0x1000, 0x5000)
        machine.memory.countsLoads = true
        #expect(machine.translate(0x1000).address == 0x5000)
        let loads = machine.memory.loads
        #expect(loads.count == 8 + 8 + 4)
        #expect(Set(loads).count == loads.count)
    }

    @Test func granules() throws {
        for (code, shift, leafShift) in [(UInt64(2), UInt64(14), UInt64(25)), (1, 16, 29)] {
            let machine = try Machine(Identification.laboratory.with(\.IDR5, 6, 4, 7))
            let root = machine.allocate(65536)
            let cd = machine.allocate()
            let block = machine.allocate(1 << shift)
            var descriptor = machine.context(root)
            (descriptor.TG0, descriptor.T0SZ) = (code, 64 - leafShift - (shift - 3))
            machine.set(descriptor, at: cd)
            machine.set(machine.stage1(cd), stream: 1)
            machine.memory[root + 8] = 0x8000_0000 | Machine.page | 1
            machine.memory[root] = block | 3
            machine.memory[block + 16] = 3 << shift | Machine.page | 3
            #expect(machine.translate(1 << leafShift | 0x1234).address == 0x8000_1234)
            #expect(machine.translate(2 << shift | 0x123).address == 3 << shift | 0x123)
        }
    }

    @Test func EL2HasOnePrivilegeAndNoASID() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR0, 9, 9, 1))
        let root = machine.allocate()
        let cd = machine.allocate()
        machine.set(machine.context(root, asid: 7), at: cd)
        var ste = machine.stage1(cd)
        ste.STRW = 2
        machine.set(ste, stream: 1)
        let leaf = machine.map(root, 0x1000, 0x5000, PageDescriptor.AF)
        #expect(machine.translate(0x1000, .write).address == 0x5000)
        machine.memory[leaf] = 0x6000 | PageDescriptor.AF | 3
        try machine.submit(.TLBI_NH_ALL(), .TLBI_NSNH_ALL(), .SYNC())
        #expect(machine.translate(0x1000).address == 0x5000)
        try machine.submit(.TLBI_EL2_VA(address: 0x1000, asid: 99), .SYNC())
        #expect(machine.translate(0x1000).address == 0x6000)
        #expect(machine.translate(0xffff_0000_0000_1000).type == .F_TRANSLATION)
        #expect(machine.commandError == 0)
    }

    /// Leaves with the attributes of the last one take a shorter way to the same answers.
    @Test func runsOfSimilarLeaves() throws {
        for page in UInt64(1)..<8 {
            machine.map(root, page << 12, page << 20)
        }
        machine.map(root, 0x8000, 0x80_0000, Machine.page | PageDescriptor.AP2)
        machine.map(root, 0x9000, 0x1000_0000_0000)
        machine.map(root, 0xa000, 0xa0_0000, Machine.page & ~PageDescriptor.nG)
        machine.map(root, 0x40_0000, 0x8000_0000, leaf: 2)
        for page in UInt64(1)..<8 {
            guard case .ok(let output) = machine.translate(page << 12 | 0x123, .write) else {
                Issue.record("page \(page)")
                continue
            }
            #expect(output.address == page << 20 | 0x123 && output.pageSize == 4096 && !output.isCached)
            #expect(output.attributes.isWritable && output.attributes.memoryAttributes == 0xff)
        }
        #expect(machine.translate(0x8000, .write).type == .F_PERMISSION)
        #expect(machine.translate(0x9000).type == .F_ADDR_SIZE)
        #expect(machine.translate(0xa000).address == 0xa0_0000)
        #expect(machine.translate(0x40_1234).address == 0x8000_1234)
        #expect(machine.translate(0xb000).type == .F_TRANSLATION)
        // A table that restricts comes between two leaves that look alike.
        machine.memory[machine.memory[root] & 0xffff_ffff_f000] |= PageDescriptor.APTable1
        machine.map(root, 0xc000, 0xc0_0000)
        #expect(machine.translate(0xc000, .write).type == .F_PERMISSION)
    }
}
