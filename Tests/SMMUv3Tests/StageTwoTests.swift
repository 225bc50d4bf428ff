import SMMUv3
import Testing

/// Stage 2 and nested translation.
@Suite struct StageTwoTests {
    private let machine: Machine
    private let root: UInt64

    init() throws {
        machine = try Machine()
        root = machine.allocate(8192)
        machine.set(machine.stage2(root), stream: 1)
    }

    /// Makes stream 2 nested over the same stage 2; memory of tables is mapped one to one.
    private func nest() -> (root: UInt64, cd: UInt64) {
        for page in stride(from: UInt64(0x100_0000), to: 0x110_0000, by: 4096) {
            machine.map(root, page, page, Machine.stage2Page, start: 1)
        }
        let first = machine.allocate()
        let cd = machine.allocate()
        machine.set(machine.context(first), at: cd)
        var ste = machine.stage2(root)
        (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, cd)
        machine.set(ste, stream: 2)
        return (first, cd)
    }

    @Test func concatenatedStart() {
        machine.map(root, 0x1000, 0x5000, Machine.stage2Page, start: 1)
        machine.map(root, 0xc0_0000_1000, 0x6000, Machine.stage2Page, start: 1)
        #expect(machine.translate(0x1004).address == 0x5004)
        #expect(machine.translate(0xc0_0000_1004).address == 0x6004)
        #expect(machine.translate(0x100_0000_0000).type == .F_TRANSLATION)
    }

    @Test func faultsCarryTheIPA() throws {
        let event = try #require(machine.translate(0x1_2345_6789, .write).event)
        #expect(event.type == .F_TRANSLATION && event.S2 && event.CLASS == EventClass.IN.rawValue)
        #expect(event.IPA == 0x1_2345_6000 && event.InputAddr == 0x1_2345_6789)
    }

    @Test func inputBeyondIASIsAStageOneFault() throws {
        let event = try #require(machine.translate(0x1000_0000_0000).event)
        #expect(event.type == .F_ADDR_SIZE && !event.S2)
    }

    @Test func executeNeverByPrivilege() {
        machine.map(root, 0x1000, 0x5000, Machine.stage2Page | 1 << 53, start: 1)
        machine.map(root, 0x2000, 0x6000, Machine.stage2Page | 3 << 53, start: 1)
        #expect(machine.translate(0x1000, .execute).address == 0x5000)
        #expect(machine.translate(0x1000, .execute, privileged: true).type == .F_PERMISSION)
        #expect(machine.translate(0x2000, .execute).type == .F_PERMISSION)
        #expect(machine.translate(0x2000, .execute, privileged: true).address == 0x6000)
    }

    @Test func S2RSuppressesTheRecord() throws {
        var ste = machine.stage2(root)
        ste.S2R = false
        machine.set(ste, stream: 1)
        #expect(!machine.translate(0x1000).isRecorded)
        #expect(try machine.events().isEmpty)
    }

    @Test func nestedWalk() throws {
        let (first, _) = nest()
        machine.map(first, 0x40_0000_1000, 0x9000_2000)
        machine.map(root, 0x9000_2000, 0x7000, Machine.stage2Page, start: 1)
        #expect(machine.translate(0x40_0000_1234, stream: 2, .write).address == 0x7234)
        #expect(machine.translate(0x40_0000_1234, stream: 2).address == 0x7234)
    }

    /// The translations of table accesses are cached for every stream of the VMID, those without stage 1 too.
    @Test func tableTranslationsServeStageTwoAlone() {
        let (first, _) = nest()
        machine.map(first, 0x1000, 0x9000_0000)
        machine.map(root, 0x9000_0000, 0x7000, Machine.stage2Page, start: 1)
        #expect(machine.translate(0x1000, stream: 2).address == 0x7000)
        #expect(machine.translate(first, stream: 1, .write).address == first)
    }

    @Test func nestedFaultsTellTheirClass() throws {
        let (first, cd) = nest()
        machine.map(first, 0x1000, 0xa000_0000)
        let input = try #require(machine.translate(0x1000, stream: 2).event)
        #expect(input.S2 && input.CLASS == EventClass.IN.rawValue && input.IPA == 0xa000_0000)
        machine.memory[first + 8] = 0xb000_0000 | 3
        let table = try #require(machine.translate(0x80_0000_0000, stream: 2, .write).event)
        #expect(table.type == .F_TRANSLATION && table.S2 && table.CLASS == EventClass.TTD.rawValue)
        #expect(table.IPA == 0xb000_0000 && !table.RnW)
        var ste = machine.stage2(root)
        (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, 0xd000_0040)
        machine.set(ste, stream: 3)
        let context = try #require(machine.translate(0x1000, stream: 3).event)
        #expect(context.S2 && context.CLASS == EventClass.CD.rawValue && context.IPA == 0xd000_0000)
        #expect(cd != 0)
    }

    @Test func invalidationByIPAAndByVMID() throws {
        let leaf = machine.map(root, 0x1000, 0x5000, Machine.stage2Page, start: 1)
        #expect(machine.translate(0x1000).address == 0x5000)
        machine.memory[leaf] = 0x6000 | Machine.stage2Page | 3
        try machine.submit(
            .TLBI_S2_IPA(address: 0x2000, vmid: 1), .TLBI_S2_IPA(address: 0x1000, vmid: 2), .TLBI_NH_ALL(vmid: 1),
            .TLBI_S12_VMALL(vmid: 2), .SYNC())
        #expect(machine.translate(0x1000).address == 0x5000)
        try machine.submit(.TLBI_S2_IPA(address: 0x1000, vmid: 1), .SYNC())
        #expect(machine.translate(0x1000).address == 0x6000)
        machine.memory[leaf] = 0x7000 | Machine.stage2Page | 3
        try machine.submit(.TLBI_S12_VMALL(vmid: 1), .SYNC())
        #expect(machine.translate(0x1000).address == 0x7000)
    }

    @Test func nestedEntriesGoWithVAOrVMID() throws {
        let (first, _) = nest()
        let leaf = machine.map(first, 0x1000, 0x9000_0000)
        machine.map(root, 0x9000_0000, 0x7000, Machine.stage2Page, start: 1)
        machine.map(root, 0x9000_1000, 0x8000, Machine.stage2Page, start: 1)
        #expect(machine.translate(0x1000, stream: 2).address == 0x7000)
        machine.memory[leaf] = 0x9000_1000 | Machine.page | 3
        try machine.submit(.TLBI_NH_VA(address: 0x1000, asid: 1, vmid: 2), .TLBI_S2_IPA(address: 0x9000_0000, vmid: 1))
        #expect(machine.translate(0x1000, stream: 2).address == 0x7000)
        try machine.submit(.TLBI_NH_VA(address: 0x1000, asid: 1, vmid: 1))
        #expect(machine.translate(0x1000, stream: 2).address == 0x8000)
    }

    @Test func walksOfDeviceMemoryMayBeForbidden() throws {
        let (first, _) = nest()
        machine.map(first, 0x1000, 0x9000_0000)
        machine.map(root, 0x9000_0000, 0x7000, Machine.stage2Page, start: 1)
        machine.map(root, first, first, Machine.stage2Page & ~PageDescriptor.MemAttr(0xf), start: 1)
        var ste = machine.smmu.lookupSTE(streamID: 2) ?? StreamTableEntry()
        #expect(machine.translate(0x1000, stream: 2).address == 0x7000)
        ste.S2PTW = true
        machine.set(ste, stream: 2)
        try machine.submit(.CFGI_STE(streamID: 2), .TLBI_S12_VMALL(vmid: 1), .SYNC())
        let event = try #require(machine.translate(0x1000, stream: 2).event)
        #expect(event.type == .F_PERMISSION && event.S2 && event.CLASS == EventClass.TTD.rawValue && event.TTRnW)
    }
}
