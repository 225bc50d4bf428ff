import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// Tables that became empty stay for the next mapping, but not many of them, and not in the way of a block.
@Suite struct EmptyTableTests {
    private func domain(_ bench: DriverTestBench, _ kind: PagingKind = .stage1) throws -> PagingDomain {
        try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: false)
    }

    /// A page in each of many gigabytes: what an address space held in tables it gives back.
    @Test(arguments: [PagingKind.stage1, .nestParent]) func theyAreFew(_ kind: PagingKind) throws {
        let bench = try DriverTestBench()
        let (master, domain) = (try bench.master(), try domain(bench, kind))
        try bench.attach(master, domain)
        for slot in 1...300 as ClosedRange<UInt64> {
            let iova = slot << 30
            try domain.map(iova: iova, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
            #expect(bench.output(master, iova) == 0x100_0000_0000)
            domain.unmap(iova: iova, length: 0x1000)
            domain.flush()
            #expect(bench.output(master, iova) == nil)
        }
        #expect(domain.table.audit() == nil)
        var tables = 0
        for slot in 1...300 as ClosedRange<UInt64> where domain.table.hasTable(at: slot << 30) { tables += 1 }
        #expect(tables == EmptyTables.capacity)
        // The last page, and the table that went for it.
        let last = bench.driver.queue.commands(since: bench.driver.queue.issued - 4, limit: 4).map(\.command)
        if kind == .stage1 {
            #expect(last.map(\.opcode) == [.TLBI_NH_VA, .SYNC, .TLBI_NH_VA, .SYNC])
            #expect(!last[0].Leaf && last[0].TG == 0 && last[0].Address == (300 - 32) << 30)
            #expect(last[2].Leaf && last[2].TTL == 3 && last[2].Address == 300 << 30)
        }
        #expect(bench.driver.queue.errors == 0)
    }

    /// The SMMU may know the way into a table that a block replaces: TLBI with Leaf = 0 comes before the block.
    @Test func theyMakeRoomForBlocks() throws {
        let bench = try DriverTestBench()
        let (master, domain) = (try bench.master(), try domain(bench))
        try bench.attach(master, domain)
        let access: IOMMU.Access = [.read, .write]
        try domain.map(iova: 0x4020_3000, pa: 0x100_0000_0000, length: 0x1000, access: access, hugePages: true)
        #expect(bench.output(master, 0x4020_3000) != nil)
        domain.unmap(iova: 0x4020_3000, length: 0x1000)
        domain.flush()
        let before = bench.driver.queue.issued
        try domain.map(iova: 0x4020_0000, pa: 0x100_0020_0000, length: 0x20_0000, access: access, hugePages: true)
        let commands = bench.driver.queue.commands(since: before, limit: 10).map(\.command)
        #expect(commands.map(\.opcode) == [.TLBI_NH_VA, .SYNC])
        #expect(commands[0].Address == 0x4020_0000 && !commands[0].Leaf && commands[0].SCALE == 9)
        #expect(bench.output(master, 0x4020_3456) == 0x100_0020_3456)
        #expect(domain.table.audit() == nil)
        domain.unmap(iova: 0x4020_0000, length: 0x20_0000)
        domain.flush()
        // A table of empty tables, too.
        try domain.map(iova: 0x4000_0000, pa: 0x200_0000_0000, length: 1 << 30, access: access, hugePages: true)
        #expect(domain.table.lookup(0x4020_0000)?.pageSize == 1 << 30)
        #expect(bench.output(master, 0x4020_3456) == 0x200_0020_3456)
        #expect(domain.table.audit() == nil)
    }

    /// Something is mapped below: no block, and nothing has changed.
    @Test func whatIsInUseIsInTheWay() throws {
        let bench = try DriverTestBench()
        let (master, domain) = (try bench.master(), try domain(bench))
        try bench.attach(master, domain)
        try domain.map(iova: 0x4020_3000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        let leaves = domain.table.leaves
        for (iova, length) in [(UInt64(0x4020_0000), UInt64(0x20_0000)), (0x4000_0000, 1 << 30)] {
            #expect {
                try domain.map(iova: iova, pa: 0x200_0000_0000, length: length, access: .read, hugePages: true)
            } throws: {
                ($0 as? IOMMUError)?.errno == .EEXIST
            }
        }
        #expect(domain.table.leaves == leaves && domain.table.audit() == nil)
        #expect(bench.output(master, 0x4020_3000) == 0x100_0000_0000)
    }
}

extension PageTable {
    /// Whether the way to an address leads through a table at the level below the root's.
    fileprivate func hasTable(at iova: UInt64) -> Bool {
        var table = root
        for level in format.startLevel..<2 {
            let descriptor = memory.load(table + index(iova, level: level) * 8)
            guard isTable(descriptor, level: level) else { return false }
            table = address(in: descriptor, level: level)
        }
        return true
    }
}
