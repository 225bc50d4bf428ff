import SMMUv3
import Testing

/// Hardware updates of Access flag and dirty state (3.13).
@Suite struct TableUpdateTests {
    private let machine: Machine
    private let root: UInt64
    private let cd: UInt64
    private static let clean = Machine.page | PageDescriptor.AP2 | PageDescriptor.DBM

    init() throws {
        machine = try Machine()
        root = machine.allocate()
        cd = machine.allocate()
        try set(HA: true, HD: true)
        machine.set(machine.stage1(cd), stream: 1)
    }

    private func set(HA: Bool, HD: Bool) throws {
        var descriptor = machine.context(root)
        (descriptor.HA, descriptor.HD) = (HA, HD)
        machine.set(descriptor, at: cd)
        try machine.submit(.CFGI_CD(streamID: 1, substreamID: 0), .TLBI_NH_ALL(), .SYNC())
    }

    @Test func accessFlagIsSet() {
        let leaf = machine.map(root, 0x1000, 0x5000, Machine.page & ~PageDescriptor.AF)
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(machine.memory[leaf] == 0x5000 | Machine.page | 3)
    }

    @Test func readLeavesAPageCleanAndWriteMakesItDirty() {
        let leaf = machine.map(root, 0x1000, 0x5000, Self.clean)
        guard case .ok(let output) = machine.translate(0x1000) else {
            Issue.record("no translation")
            return
        }
        #expect(output.attributes.isWritable)
        #expect(machine.memory[leaf] & PageDescriptor.AP2 != 0)
        #expect(machine.translate(0x1008, .write).address == 0x5008)
        #expect(machine.memory[leaf] == 0x5000 | Machine.page | PageDescriptor.DBM | 3)
        #expect(machine.translate(0x1008, .write).address == 0x5008)
    }

    @Test func withoutHDACleanPageIsReadOnly() throws {
        let leaf = machine.map(root, 0x1000, 0x5000, Self.clean)
        try set(HA: true, HD: false)
        #expect(machine.translate(0x1000, .write).type == .F_PERMISSION)
        #expect(machine.memory[leaf] & PageDescriptor.AP2 != 0)
    }

    @Test func tablesThatForbidWritesMakeNothingDirty() {
        let leaf = machine.map(root, 0x1000, 0x5000, Self.clean)
        machine.memory[root] |= PageDescriptor.APTable1
        #expect(machine.translate(0x1000, .write).type == .F_PERMISSION)
        #expect(machine.memory[leaf] & PageDescriptor.AP2 != 0)
    }

    @Test func unsupportedUpdatesAreIllegal() throws {
        for (HTTU, HD, type) in [(UInt32(0), false, EventType.C_BAD_CD), (1, true, .C_BAD_CD)] {
            let machine = try Machine(Identification.laboratory.with(\.IDR0, 7, 6, HTTU))
            let cd = machine.allocate()
            var descriptor = machine.context(machine.allocate())
            (descriptor.HA, descriptor.HD) = (true, HD)
            machine.set(descriptor, at: cd)
            machine.set(machine.stage1(cd), stream: 1)
            #expect(machine.translate(0x1000).type == type)
        }
    }

    @Test func stage2Updates() {
        let root = machine.allocate(8192)
        var ste = machine.stage2(root)
        (ste.S2HA, ste.S2HD) = (true, true)
        machine.set(ste, stream: 2)
        let attributes = PageDescriptor.S2AP0 | PageDescriptor.DBM | PageDescriptor.MemAttr(0xf)
        let leaf = machine.map(root, 0x1000, 0x5000, attributes, start: 1)
        #expect(machine.translate(0x1000, stream: 2).address == 0x5000)
        #expect(machine.memory[leaf] == 0x5000 | attributes | PageDescriptor.AF | 3)
        #expect(machine.translate(0x1000, stream: 2, .write).address == 0x5000)
        #expect(machine.memory[leaf] == 0x5000 | attributes | PageDescriptor.AF | PageDescriptor.S2AP1 | 3)
    }

    /// A stage 1 update writes to a table, which stage 2 must permit and mark dirty (3.13.5).
    @Test func nestedUpdateNeedsAWritableTable() throws {
        let stage2 = machine.allocate(8192)
        let readOnly = PageDescriptor.S2AP0 | PageDescriptor.AF | PageDescriptor.MemAttr(0xf)
        let first = machine.allocate()
        let context = machine.allocate()
        var descriptor = machine.context(first)
        descriptor.HA = true
        machine.set(descriptor, at: context)
        let leaf = machine.map(first, 0x1000, 0x9000_0000, Machine.page & ~PageDescriptor.AF)
        for page in stride(from: UInt64(0x100_0000), to: 0x108_0000, by: 4096) {
            machine.map(stage2, page, page, readOnly, start: 1)
        }
        machine.map(stage2, 0x9000_0000, 0x7000, Machine.stage2Page, start: 1)
        var ste = machine.stage2(stage2)
        (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, context)
        (ste.S2HA, ste.S2HD) = (true, true)
        machine.set(ste, stream: 2)
        let event = try #require(machine.translate(0x1000, stream: 2).event)
        #expect(event.type == .F_PERMISSION && event.S2 && event.CLASS == EventClass.TTD.rawValue)
        #expect(event.RnW && !event.TTRnW && event.IPA == leaf & ~0xfff)
        let page = machine.map(stage2, leaf & ~0xfff, leaf & ~0xfff, readOnly | PageDescriptor.DBM, start: 1)
        try machine.submit(.TLBI_S2_IPA(address: leaf & ~0xfff, vmid: 1), .SYNC())
        #expect(machine.translate(0x1000, stream: 2).address == 0x7000)
        #expect(machine.memory[leaf] & PageDescriptor.AF != 0)
        #expect(machine.memory[page] & PageDescriptor.S2AP1 != 0)
    }

    /// Another writer of the descriptor between load and exchange makes the walk start again.
    @Test func lostRacesAreRetried() {
        let leaf = machine.map(root, 0x1000, 0x5000, Machine.page & ~PageDescriptor.AF)
        let memory = machine.memory
        var interfered = false
        memory.willExchange = { address in
            if address == leaf && !interfered {
                interfered = true
                memory[leaf] = 0x6000 | Machine.page & ~PageDescriptor.AF | 3
            }
        }
        #expect(machine.translate(0x1000).address == 0x6000)
        #expect(memory[leaf] == 0x6000 | Machine.page | 3)
        // Somebody who never stops writing costs a bounded number of attempts.
        let other = machine.map(root, 0x2000, 0x7000, Machine.page & ~PageDescriptor.AF)
        var count: UInt64 = 0
        memory.willExchange = { address in
            count += 1
            memory[address] = memory[address] ^ 1 << 55
        }
        #expect(machine.translate(0x2000).type == .F_WALK_EABT)
        #expect(count == 16 && other != 0)
    }
}
