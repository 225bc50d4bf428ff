import SMMUv3
import Testing

/// Access flags in table descriptors (3.13.6): IDR0.HTTU = 0b11, CD.HAFT and STE.S2HAFT.
@Suite struct TableFlagTests {
    private static let words = Identification.laboratory.with(\.IDR0, 7, 6, 0b11)
    private static let flag = PageDescriptor.AF

    /// The descriptors on the way to an address, of each level.
    private func path(_ machine: Machine, _ root: UInt64, _ address: UInt64, start: UInt64 = 0) -> [UInt64] {
        var table = root
        var found: [UInt64] = []
        for level in start..<4 {
            let place = table + (address >> (39 - 9 * level) & 0x1ff) * 8
            found.append(place)
            table = machine.memory[place] & 0xf_ffff_f000
        }
        return found
    }

    private func isMarked(_ machine: Machine, _ places: [UInt64]) -> [Bool] {
        places.map { machine.memory[$0] & Self.flag != 0 }
    }

    /// Stream 1 with stage 1 tables that map one page.
    private func stageOne(
        _ identification: Identification = words, HA: Bool = true, HAFT: Bool = true
    ) throws -> (machine: Machine, path: [UInt64]) {
        let machine = try Machine(identification)
        let (root, cd) = (machine.allocate(), machine.allocate())
        var descriptor = machine.context(root)
        (descriptor.HA, descriptor.HAFT) = (HA, HAFT)
        machine.set(descriptor, at: cd)
        machine.set(machine.stage1(cd), stream: 1)
        machine.map(root, 0x1000, 0x5000, Machine.page & ~Self.flag)
        return (machine, path(machine, root, 0x1000))
    }

    @Test func everyDescriptorOfAWalkIsMarked() throws {
        let (machine, path) = try stageOne()
        #expect(isMarked(machine, path) == [false, false, false, false])
        // Who only looks changes nothing.
        _ = machine.smmu.inspect(Transaction(streamID: 1, address: 0x1000, access: .read), trace: true)
        #expect(isMarked(machine, path) == [false, false, false, false])
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(isMarked(machine, path) == [true, true, true, true])
        #expect(machine.translate(0x1000).address == 0x5000)
    }

    @Test func withoutItTablesStayAsTheyAre() throws {
        for (words, HAFT) in [(Self.words, false), (Identification.laboratory, true)] {
            let (machine, path) = try stageOne(words, HAFT: HAFT)
            #expect(machine.translate(0x1000).address == 0x5000)
            #expect(isMarked(machine, path) == [false, false, false, true])
        }
        let (machine, _) = try stageOne(HA: false)
        #expect(machine.translate(0x1000).type == .C_BAD_CD)
    }

    @Test func tablesOfStageTwoAreMarked() throws {
        let machine = try Machine(Self.words)
        let root = machine.allocate(8192)
        var ste = machine.stage2(root)
        ste.S2HAFT = true
        machine.set(ste, stream: 2)
        machine.map(root, 0x1000, 0x5000, Machine.stage2Page, start: 1)
        #expect(machine.translate(0x1000, stream: 2).type == .C_BAD_STE)
        ste.S2HA = true
        machine.set(ste, stream: 2)
        try machine.submit(.CFGI_STE(streamID: 2), .SYNC())
        #expect(machine.translate(0x1000, stream: 2).address == 0x5000)
        #expect(isMarked(machine, path(machine, root, 0x1000, start: 1)) == [true, true, true])
    }

    /// A flag of a stage 1 table is a write, which stage 2 must permit (3.13.5).
    @Test func aMarkNeedsAWritableTable() throws {
        let machine = try Machine(Self.words)
        let (stage2, first, context) = (machine.allocate(8192), machine.allocate(), machine.allocate())
        var descriptor = machine.context(first)
        (descriptor.HA, descriptor.HAFT) = (true, true)
        machine.set(descriptor, at: context)
        machine.map(first, 0x1000, 0x9000_0000, Machine.page)
        func identity(_ attributes: UInt64) {
            for page in stride(from: UInt64(0x100_0000), to: 0x108_0000, by: 4096) {
                machine.map(stage2, page, page, attributes, start: 1)
            }
        }
        identity(Machine.stage2Page & ~PageDescriptor.S2AP1)
        machine.map(stage2, 0x9000_0000, 0x7000, Machine.stage2Page, start: 1)
        var ste = machine.stage2(stage2)
        (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, context)
        machine.set(ste, stream: 2)
        let event = try #require(machine.translate(0x1000, stream: 2).event)
        #expect(event.type == .F_PERMISSION && event.S2 && event.CLASS == EventClass.TTD.rawValue && !event.TTRnW)
        #expect(event.IPA == first & ~0xfff)
        identity(Machine.stage2Page)
        try machine.submit(.TLBI_S12_VMALL(vmid: 1), .SYNC())
        #expect(machine.translate(0x1000, stream: 2).address == 0x7000)
        #expect(isMarked(machine, path(machine, first, 0x1000)) == [true, true, true, true])
    }

    /// Another writer between load and exchange makes the walk start again; one who never stops ends it.
    @Test func lostRacesAreRetried() throws {
        let (machine, path) = try stageOne()
        let memory = machine.memory
        var interfered = false
        memory.willExchange = { address in
            guard address == path[1], !interfered else { return }
            interfered = true
            memory[address] |= 1 << 55
        }
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(interfered && isMarked(machine, path) == [true, true, true, true])
        let (other, _) = try stageOne()
        other.memory.willExchange = { other.memory[$0] ^= 1 << 55 }
        #expect(other.translate(0x1000).type == .F_WALK_EABT)
    }
}
