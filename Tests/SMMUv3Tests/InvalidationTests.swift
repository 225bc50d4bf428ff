import SMMUv3
import Testing

/// What CMD_TLBI and broadcasts forget, and what they must leave (4.4, 3.17).
@Suite struct InvalidationTests {
    private let machine: Machine
    private let roots: [UInt64]
    private static let old: UInt64 = 0x5000_0000
    private static let new: UInt64 = 0x6000_0000

    init() throws {
        machine = try Machine(Identification.laboratory.with(\.IDR0, 5, 5, 1), CR2: 2)
        var roots: [UInt64] = []
        for stream in 1...2 {
            let root = machine.allocate()
            let cd = machine.allocate()
            machine.set(machine.context(root, asid: UInt64(stream)), at: cd)
            machine.set(machine.stage1(cd), stream: UInt32(stream))
            roots.append(root)
        }
        self.roots = roots
    }

    /// Maps pages of stream 1, touches them and moves them in the tables; what the TLB keeps answers `old`.
    private func age(_ pages: Range<UInt64>, leaf: UInt64 = 3, global: Bool = false, stream: Int = 1) {
        let attributes = global ? Machine.page & ~PageDescriptor.nG : Machine.page
        for page in pages {
            let address = page << (39 - 9 * leaf)
            machine.map(roots[stream - 1], address, Self.old + address, attributes, leaf: leaf)
            _ = machine.translate(address, stream: UInt32(stream))
            machine.map(roots[stream - 1], address, Self.new + address, attributes, leaf: leaf)
        }
    }

    /// The pages whose translation was forgotten.
    private func forgotten(_ pages: Range<UInt64>, leaf: UInt64 = 3, stream: UInt32 = 1) -> [UInt64] {
        pages.filter { page in
            let address = page << (39 - 9 * leaf)
            return machine.translate(address, stream: stream).address == Self.new + address
        }
    }

    @Test func byAddressAndASID() throws {
        age(1..<5)
        try machine.submit(.TLBI_NH_VA(address: 0x2000, asid: 2), .TLBI_NH_VA(address: 0x8000, asid: 1))
        #expect(forgotten(1..<5) == [])
        try machine.submit(.TLBI_NH_VA(address: 0x2fff, asid: 1))
        #expect(forgotten(1..<5) == [2])
        try machine.submit(.TLBI_NH_VAA(address: 0x4000))
        #expect(forgotten(1..<5) == [2, 4])
    }

    /// A command like the one before it finds its target by what that one has found, unless tags have changed since.
    @Test func aRepeatedTargetIsLookedUpAgainWhenTagsChange() throws {
        let command = Command.TLBI_NH_VA(address: 0x1000, asid: 1)
        // Nothing has used the ASID yet.
        try machine.submit(command)
        age(1..<2)
        try machine.submit(command)
        #expect(forgotten(1..<2) == [1])
        for renewal in [Command.TLBI_NH_ASID(asid: 1), .TLBI_NH_ALL(), .TLBI_S12_VMALL(vmid: 0), .TLBI_NSNH_ALL()] {
            try machine.submit(command, renewal)
            age(1..<2)
            try machine.submit(command)
            #expect(forgotten(1..<2) == [1], "\(renewal)")
        }
        // Another ASID in between, and global entries, which every ASID's command forgets.
        age(1..<2, global: true)
        try machine.submit(.TLBI_NH_VA(address: 0x2000, asid: 2), .TLBI_NH_VA(address: 0x1000, asid: 2))
        #expect(forgotten(1..<2) == [1])
    }

    /// When the tags have run out and all begins afresh, what was found before means nothing any more.
    @Test func aRepeatedTargetIsLookedUpAgainAfterAReset() throws {
        let machine = try Machine(geometry: .standard)
        let root = machine.allocate()
        let cd = machine.allocate()
        machine.set(machine.stage1(cd), stream: 1)
        let leaf = machine.map(root, 0x1000, Self.old)
        func use(asid: UInt64) throws {
            machine.set(machine.context(root, asid: asid), at: cd)
            try machine.submit(.CFGI_CD(streamID: 1, substreamID: 0))
            _ = machine.translate(0x1000)
        }
        let command = Command.TLBI_NH_VA(address: 0x1000, asid: 1)
        try use(asid: 1)
        try machine.submit(command)
        for asid in UInt64(2)..<16_500 { try use(asid: asid) }
        try use(asid: 1)
        #expect(machine.translate(0x1000).address == Self.old)
        machine.memory[leaf] = Self.new | Machine.page | 3
        #expect(machine.translate(0x1000).address == Self.old)
        try machine.submit(command)
        #expect(machine.translate(0x1000).address == Self.new)
    }

    @Test func byASID() throws {
        age(1..<3)
        age(1..<3, stream: 2)
        try machine.submit(.TLBI_NH_ASID(asid: 2))
        #expect(forgotten(1..<3) == [] && forgotten(1..<3, stream: 2) == [1, 2])
        try machine.submit(.TLBI_NH_ASID(asid: 1, vmid: 1))
        #expect(forgotten(1..<3) == [])
    }

    @Test func globalEntriesServeEveryASIDAndSurviveByASID() throws {
        age(1..<2, global: true)
        #expect(machine.translate(0x1000, stream: 2).address == Self.old + 0x1000)
        try machine.submit(.TLBI_NH_ASID(asid: 1))
        #expect(machine.translate(0x1000).address == Self.old + 0x1000)
        try machine.submit(.TLBI_NH_VA(address: 0x1000, asid: 77))
        #expect(machine.translate(0x1000).address == Self.new + 0x1000)
    }

    @Test func rangesByAddress() throws {
        age(0..<64)
        try machine.submit(
            .TLBI_NH_VA(address: 0x4000, asid: 1, range: InvalidationRange(TG: 1, NUM: 2, SCALE: 2)))
        #expect(forgotten(0..<64) == Array(4..<16))
    }

    @Test func blocksAndLevels() throws {
        age(1..<4, leaf: 2)
        let hint = InvalidationRange(TG: 1, NUM: 0, SCALE: 0, TTL: 3)
        try machine.submit(.TLBI_NH_VA(address: 0x20_0000, asid: 1, range: hint))
        #expect(forgotten(1..<4, leaf: 2) == [])
        try machine.submit(.TLBI_NH_VA(address: 0x20_3000, asid: 1))
        #expect(forgotten(1..<4, leaf: 2) == [1])
        try machine.submit(
            .TLBI_NH_VA(address: 0x40_0000, asid: 1, range: InvalidationRange(TG: 1, NUM: 0, SCALE: 9, TTL: 2)))
        #expect(forgotten(1..<4, leaf: 2) == [1, 2])
    }

    @Test func hugeRangesEndAtTheTop() throws {
        age(1..<4)
        try machine.submit(
            .TLBI_NH_VA(
                address: 0xffff_f000_0000_0000, asid: 1, range: InvalidationRange(TG: 1, NUM: 31, SCALE: 31)))
        #expect(forgotten(1..<4) == [])
        try machine.submit(
            .TLBI_NH_VA(address: 0x2000, asid: 1, range: InvalidationRange(TG: 1, NUM: 31, SCALE: 31)))
        #expect(forgotten(1..<4) == [2, 3])
    }

    @Test func reservedRangeIsIllegal() throws {
        var command = Command.TLBI_NH_VA(address: 0x1000, asid: 1)
        command.TG = 1
        try machine.submit(command)
        #expect(machine.commandError == 1)
        try machine.recover()
        (command.TG, command.TTL) = (2, 1)
        try machine.submit(command)
        #expect(machine.commandError == 1)
    }

    @Test func withoutRILTheFieldsAreIgnored() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR3, 10, 10, 0))
        var command = Command.TLBI_NH_VA(address: 0x1000, asid: 1)
        command.TG = 1
        try machine.submit(command)
        #expect(machine.commandError == 0)
    }

    @Test func broadcasts() throws {
        age(1..<4)
        machine.smmu.broadcastInvalidate(.address(0x1000, length: 4096, asid: 2, vmid: 0))
        #expect(forgotten(1..<4) == [])
        machine.smmu.broadcastInvalidate(.address(0x1000, length: 8192, asid: 1, vmid: 0))
        #expect(forgotten(1..<4) == [1, 2])
        machine.smmu.broadcastInvalidate(.asid(1, vmid: 0))
        #expect(forgotten(1..<4) == [1, 2, 3])
    }

    @Test func broadcastsAreIgnoredWithPTMOrASET() throws {
        let deaf = try Machine(Identification.laboratory.with(\.IDR0, 5, 5, 1), CR2: 6)
        #expect(!deaf.smmu.participatesInBroadcast && machine.smmu.participatesInBroadcast)
        let cd = machine.allocate()
        var descriptor = machine.context(roots[0], asid: 9)
        descriptor.ASET = true
        machine.set(descriptor, at: cd)
        machine.set(machine.stage1(cd), stream: 1)
        age(1..<3)
        machine.smmu.broadcastInvalidate(.address(0x1000, length: 4096, asid: 9, vmid: 0))
        machine.smmu.broadcastInvalidate(.asid(9, vmid: 0))
        #expect(forgotten(1..<3) == [])
        machine.smmu.broadcastInvalidate(.addressAllASIDs(0x1000, length: 4096, vmid: 0))
        #expect(forgotten(1..<3) == [1])
    }

    @Test func configurationByRange() throws {
        for stream in UInt32(16)..<24 {
            #expect(machine.translate(0x1000, stream: stream).type == .C_BAD_STE)
        }
        var bypass = StreamTableEntry()
        (bypass.V, bypass.Config) = (true, StreamConfiguration.bypass.rawValue)
        for stream in UInt32(16)..<24 {
            machine.set(bypass, stream: stream)
        }
        try machine.submit(.CFGI_STE_RANGE(streamID: 18, range: 1))
        let passing = (UInt32(16)..<24).filter { machine.translate(0x1000, stream: $0).address == 0x1000 }
        #expect(passing == [16, 17, 18, 19])
        try machine.submit(.CFGI_ALL())
        #expect(machine.translate(0x1000, stream: 23).address == 0x1000)
    }

    @Test func capacityEvicts() throws {
        let machine = try Machine(geometry: CacheGeometry(tlbEntries: 64, configurationEntries: 4))
        let root = machine.allocate()
        let cd = machine.allocate()
        machine.set(machine.context(root), at: cd)
        for stream in UInt32(0)..<32 {
            machine.set(machine.stage1(cd), stream: stream)
        }
        for page in UInt64(0)..<512 {
            machine.map(root, page << 12, page << 12)
        }
        for page in UInt64(0)..<512 {
            #expect(machine.translate(page << 12, stream: UInt32(page % 32)).address == page << 12)
        }
        let view = machine.smmu.cacheView()
        #expect(view.translations.count <= 64 && view.tlb.evictions >= 448)
        #expect(view.streamIDs.count <= 4 && view.streamTable.evictions > 0)
    }

    @Test func neverEvictingKeepsAll() throws {
        age(0..<5000)
        #expect(forgotten(0..<5000) == [])
        #expect(machine.smmu.cacheView().translations.count == 5000)
    }

    /// A block of stage 1 that stage 2 maps by pages is forgotten as a whole, whichever address a command names (Arm
    /// ARM, D8.17).
    @Test(arguments: [
        Command.TLBI_NH_VA(address: 0x4000_7000, asid: 1, vmid: 1),
        .TLBI_NH_VAA(address: 0x401f_f000, vmid: 1, leaf: false),
        .TLBI_NH_VA(
            address: 0x4000_0000, asid: 1, vmid: 1, range: InvalidationRange(TG: 1, NUM: 0, SCALE: 0, TTL: 2)),
    ])
    func allPartsOfABlockGoTogether(command: Command) throws {
        let (outer, cd) = (machine.allocate(8192), machine.allocate())
        for page in stride(from: UInt64(0x100_0000), to: 0x110_0000, by: 4096) {
            machine.map(outer, page, page, Machine.stage2Page, start: 1)
        }
        for page in stride(from: UInt64(0x20_0000), to: 0x60_0000, by: 4096) {
            machine.map(outer, page, Self.old + page, Machine.stage2Page, start: 1)
        }
        machine.set(machine.context(roots[0]), at: cd)
        var ste = machine.stage2(outer)
        (ste.Config, ste.S1ContextPtr) = (StreamConfiguration.nested.rawValue, cd)
        machine.set(ste, stream: 3)
        let parts: [UInt64] = [0x4000_0000, 0x4000_7000, 0x401f_f000]
        // A page elsewhere, which has to stay.
        machine.map(roots[0], 0x4020_0000, 0x20_3000)
        machine.map(roots[0], 0x4000_0000, 0x20_0000, leaf: 2)
        for part in parts {
            #expect(machine.translate(part, stream: 3).address == Self.old + 0x20_0000 + (part & 0x1f_ffff))
        }
        #expect(machine.translate(0x4020_0000, stream: 3).address == Self.old + 0x20_3000)
        // Blocks that only the quick walk meets, 40 of them.
        for block in Self.otherBlocks {
            machine.map(roots[0], block, 0x20_0000, leaf: 2)
            #expect(machine.translate(block + 0x7000, stream: 3).address == Self.old + 0x20_7000)
            #expect(machine.translate(block + 0x9000, stream: 3).address == Self.old + 0x20_9000)
            machine.map(roots[0], block, 0x40_0000, leaf: 2)
        }
        machine.map(roots[0], 0x4020_0000, 0x20_4000)
        machine.map(roots[0], 0x4000_0000, 0x40_0000, leaf: 2)
        try machine.submit(command, .SYNC())
        for part in parts {
            #expect(machine.translate(part, stream: 3).address == Self.old + 0x40_0000 + (part & 0x1f_ffff))
        }
        #expect(machine.translate(0x4020_0000, stream: 3).address == Self.old + 0x20_3000)
        for block in Self.otherBlocks {
            #expect(machine.translate(block + 0x7000, stream: 3).address == Self.old + 0x20_7000)
            try machine.submit(.TLBI_NH_VA(address: block + 0x1000, asid: 1, vmid: 1), .SYNC())
            #expect(machine.translate(block + 0x7000, stream: 3).address == Self.old + 0x40_7000)
            #expect(machine.translate(block + 0x9000, stream: 3).address == Self.old + 0x40_9000)
        }
    }

    private static var otherBlocks: StrideTo<UInt64> { stride(from: 0x8000_0000, to: 0x8500_0000, by: 0x20_0000) }
}
