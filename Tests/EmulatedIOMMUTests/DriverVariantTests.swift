import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// The driver on SMMUs other than the laboratory's, and its queue at the limits.
@Suite struct DriverVariantTests {
    private static func granule(_ bits: Int) -> Identification {
        var identification = Identification.laboratory
        identification.IDR5 &= ~(0b111 << 4)
        identification.IDR5 |= bits == 12 ? 1 << 4 : bits == 14 ? 1 << 5 : 1 << 6
        return identification
    }

    @Test(arguments: [12, 14, 16], [PagingKind.stage1, .stage2]) func granules(_ bits: Int, _ kind: PagingKind) throws {
        let bench = try DriverTestBench(Self.granule(bits))
        #expect(bench.driver.features.granuleBits == bits)
        let master = try bench.master(pasidBits: 10)
        let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        let granule = UInt64(1) << UInt64(bits)
        let block = UInt64(1) << UInt64(bits + bits - 3)
        #expect(domain.pageSizes & (granule | block) == granule | block)
        let start = 4 * block - granule
        let pa: UInt64 = 0x100_0000_0000 - granule
        try domain.map(
            iova: start, pa: pa, length: granule + block + granule, access: [.read, .write], hugePages: true)
        #expect(domain.table.lookup(4 * block)?.pageSize == block)
        #expect(domain.table.audit() == nil)
        for offset in [0, granule, granule + block / 2, granule + block] {
            #expect(bench.output(master, start + offset + 0x18, .write) == pa + offset + 0x18)
        }
        #expect(throws: IOMMUError.self) {
            try domain.map(iova: granule / 2, pa: 0, length: granule, access: .read, hugePages: true)
        }
        // A page out of the middle of the block, then the rest.
        domain.unmap(iova: 4 * block + 2 * granule, length: granule)
        domain.flush()
        #expect(bench.output(master, 4 * block + 2 * granule) == nil)
        #expect(bench.output(master, 4 * block + 3 * granule) == pa + granule + 3 * granule)
        domain.unmap(iova: start, length: granule + block + granule)
        domain.flush()
        #expect(bench.output(master, start) == nil && bench.output(master, 4 * block) == nil)
        #expect(domain.table.leaves.isEmpty && domain.table.audit() == nil)
        #expect(bench.driver.queue.errors == 0)
    }

    /// Without range invalidation and without BBML.
    @Test func oldSMMU() throws {
        var identification = Identification.laboratory
        identification.IDR3 = 0
        let bench = try DriverTestBench(identification)
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        try domain.map(iova: 0x20_0000, pa: 0x100_0000_0000, length: 2 << 20, access: .read, hugePages: true)
        #expect(bench.output(master, 0x20_5000) == 0x100_0000_5000)
        domain.unmap(iova: 0x20_5000, length: 0x1000)
        domain.flush()
        #expect(bench.output(master, 0x20_5000) == nil)
        #expect(bench.output(master, 0x20_6000) == 0x100_0000_6000)
        let before = bench.driver.queue.issued
        try domain.map(iova: 0x4000_0000, pa: 0x100_0000_0000, length: 0x10_0000, access: .read, hugePages: true)
        domain.unmap(iova: 0x4000_0000, length: 0x10_0000)
        domain.flush()
        #expect(bench.driver.queue.issued - before == 257, "one command per page and one SYNC")
        try domain.map(iova: 0x4000_0000, pa: 0x100_0000_1000, length: 0x100_0000, access: .read, hugePages: true)
        domain.unmap(iova: 0x4000_0000, length: 0x100_0000)
        domain.flush()
        #expect(bench.driver.queue.issued - before == 257 + 8 * 2 + 9, "tables by ASID, and eight blocks by address")
        try domain.map(iova: 0x4000_0000, pa: 0x100_0000_1000, length: 0x20_1000, access: .read, hugePages: true)
        domain.unmap(iova: 0x4000_1000, length: 0x20_0000)
        domain.flush()
        #expect(bench.driver.queue.issued - before == 257 + 8 * 2 + 9 + 2, "from 512 pages on by ASID")
        #expect(bench.driver.queue.errors == 0)
    }

    /// One SYNC a flush; a range costs a command per five bits of its length.
    @Test func commandsOfAFlush() throws {
        let bench = try DriverTestBench()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(try bench.master(), domain)
        try domain.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x20_1000, access: .read, hugePages: false)
        let before = bench.driver.queue.issued
        domain.unmap(iova: 0x1000, length: 0x20_1000)
        domain.flush()
        domain.flush()
        let commands = bench.driver.queue.commands(since: before, limit: 100).map(\.command)
        #expect(commands.map(\.opcode) == [.TLBI_NH_VA, .TLBI_NH_VA, .SYNC])
        #expect(commands[0].TG == 1 && commands[0].Address == 0x1000 && commands[0].SCALE == 0)
        #expect(commands[1].TG == 1 && commands[1].SCALE == 9 && commands[1].NUM == 0)
        #expect(commands[..<2].allSatisfy { $0.Leaf && $0.TTL == 3 })
    }

    @Test(arguments: [0, 1, 2, 10] as [UInt32])
    func moreCommandsThanTheQueueHolds(_ bits: UInt32) throws {
        let bench = try DriverTestBench(.laboratory(commandQueueBits: bits))
        #expect(bench.driver.queue.slots == 1 << bits)
        let parent = try bench.driver.makePagingDomain(.nestParent, dirtyTracking: false, pasid: false)
        let viommu = try bench.driver.makeViommu(parent: parent)
        let entry = (Command.TLBI_NH_ALL().word0, UInt64(0))
        #expect(try viommu.invalidate(entries: Array(repeating: entry, count: 5000)) == 5000)
        #expect(bench.driver.queue.errors == 0)
    }

    @Test func aRefusedCommandDoesNotStopTheOthers() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try domain.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        try bench.attach(master, domain)
        #expect(bench.output(master, 0x1000) != nil)
        bench.driver.queue.append(Command(word0: 0xff, word1: 0))
        domain.unmap(iova: 0x1000, length: 0x1000)
        domain.flush()
        #expect(bench.driver.queue.errors == 1)
        #expect(bench.output(master, 0x1000) == nil)
    }

    @Test func linearStreamTable() throws {
        var identification = Identification.laboratory
        identification.IDR0 &= ~(0b11 << 27)
        let bench = try DriverTestBench(identification)
        let master = try bench.master(0xffff)
        #expect(bench.translate(master, 0) == .terminated(.steAbort))
        #expect { try bench.master(0x1_0000) } throws: { ($0 as? IOMMUError)?.errno == .EINVAL }
        #expect { try bench.master(0xffff) } throws: { ($0 as? IOMMUError)?.errno == .EEXIST }
        bench.driver.removeMaster(master)
        _ = try bench.master(0xffff)
    }

    /// Everything goes back to the page source.
    @Test func nothingLeaks() throws {
        let machine = try Machine()
        let pages = FailingPageSource(machine)
        do {
            let smmu = try SMMU(memory: machine.memory, identification: .laboratory)
            let driver = try SMMUDriver(name: "smmu0", smmu: smmu, pages: pages)
            let master = try driver.makeMaster(streamIDs: [1], pasidBits: 16, stall: false, pri: false, ats: false)
            let domains = try (0..<2).map { _ in
                try driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
            }
            for domain in domains {
                try domain.map(iova: 0, pa: 0x100_0000_0000, length: 0x200_3000, access: .read, hugePages: true)
                for pasid in [nil, UInt32(5), 5000] {
                    driver.commit(try driver.prepare(master, pasid: pasid, target: .paging(domain, faults: false)))
                }
            }
            driver.removeMaster(master)
            for domain in domains { driver.destroy(domain) }
        }
        #expect(pages.bytesInUse == 0)
    }
}
