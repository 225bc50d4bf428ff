import IOMMU
import LinuxIO
import SMMUv3
import Testing

@testable import EmulatedIOMMU

@Suite struct DriverAttachTests {
    @Test func everyStreamAbortsAfterBringUp() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        #expect(bench.translate(master, 0x1000) == .terminated(.steAbort))
        #expect(bench.driver.queue.errors == 0)
        let opcodes = bench.driver.queue.commands(since: 0, limit: 10).map(\.command.opcode)
        #expect(opcodes == [.CFGI_STE_RANGE, .SYNC, .TLBI_NSNH_ALL, .SYNC])
    }

    @Test(arguments: [PagingKind.stage1, .stage2, .nestParent]) func mapAttachUnmapDetach(_ kind: PagingKind) throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: false)
        try domain.map(iova: 0x20_0000, pa: 0x100_0000_0000, length: 0x3000, access: [.read, .write], hugePages: true)
        try bench.attach(master, domain)
        #expect(bench.output(master, 0x20_1234) == 0x100_0000_1234)
        #expect(bench.output(master, 0x20_2008, .write) == 0x100_0000_2008)
        #expect(bench.output(master, 0x20_3000) == nil)
        try domain.map(iova: 0x20_3000, pa: 0x100_0010_0000, length: 0x1000, access: .read, hugePages: true)
        #expect(bench.output(master, 0x20_3000) == 0x100_0010_0000)
        #expect(bench.output(master, 0x20_3000, .write) == nil)
        domain.unmap(iova: 0x20_0000, length: 0x3000)
        #expect(bench.output(master, 0x20_1234) == 0x100_0000_1234, "the cache still answers")
        domain.flush()
        #expect(bench.output(master, 0x20_1234) == nil)
        #expect(bench.output(master, 0x20_3000) == 0x100_0010_0000)
        try bench.attach(master, .blocked)
        #expect(bench.translate(master, 0x20_3000) == .terminated(.steAbort))
        #expect(domain.userCount == 0)
        bench.driver.destroy(domain)
        #expect(bench.driver.queue.errors == 0)
    }

    @Test func largestBlocksAreUsed() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        let start: UInt64 = 0x3fff_f000
        try domain.map(
            iova: start, pa: 0x200_3fff_f000, length: 0x1000 + (1 << 30) + (2 << 20) + 0x1000, access: .read,
            hugePages: true
        )
        #expect(domain.table.lookup(start)?.pageSize == 4096)
        #expect(domain.table.lookup(0x4000_0000)?.pageSize == 1 << 30)
        #expect(domain.table.lookup(0x8000_0000)?.pageSize == 2 << 20)
        #expect(domain.table.lookup(0x8020_0000)?.pageSize == 4096)
        #expect(domain.table.lookup(0x8020_1000) == nil)
        #expect(bench.output(master, 0x4123_4567) == 0x200_4123_4567)
        domain.unmap(iova: start, length: 0x1000 + (1 << 30) + (2 << 20) + 0x1000)
        domain.flush()
        #expect(bench.output(master, 0x4123_4567) == nil)
        #expect(domain.table.leaves.isEmpty && domain.table.audit() == nil)
    }

    @Test func partOfABlockIsSplitOff() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        try bench.attach(master, domain)
        try domain.map(iova: 0x4000_0000, pa: 0x200_0000_0000, length: 1 << 30, access: .read, hugePages: true)
        #expect(bench.output(master, 0x4000_5000) == 0x200_0000_5000)
        domain.unmap(iova: 0x4000_5000, length: 0x1000)
        domain.flush()
        #expect(bench.output(master, 0x4000_5000) == nil)
        #expect(bench.output(master, 0x4000_4000) == 0x200_0000_4000)
        #expect(bench.output(master, 0x4000_6000) == 0x200_0000_6000)
        #expect(bench.output(master, 0x7fff_ffff) == 0x200_3fff_ffff)
    }

    @Test func tagsRunOut() throws {
        var identification = Identification.laboratory
        identification.IDR0 &= ~(1 << 12)
        let bench = try DriverTestBench(identification)
        var domains: [PagingDomain] = []
        for _ in 0..<255 {
            domains.append(try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false))
        }
        #expect(Set(domains.map(\.tag)).count == 255)
        #expect {
            try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        } throws: { ($0 as? IOMMUError)?.errno == .ENOSPC }
        bench.driver.destroy(domains[7])
        let next = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        #expect(next.tag == domains[7].tag)
    }

    @Test func pasidRules() throws {
        let bench = try DriverTestBench()
        let driver = bench.driver
        let master = try bench.master(pasidBits: 10)
        let own = try driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        let other = try driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        let second = try driver.makePagingDomain(.nestParent, dirtyTracking: false, pasid: false)
        try own.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        try other.map(iova: 0x1000, pa: 0x200_0000_0000, length: 0x1000, access: .read, hugePages: true)
        func errno(_ body: () throws -> Void) -> Errno? {
            do {
                try body()
                return nil
            } catch { return (error as? IOMMUError)?.errno }
        }
        // A PASID beside a blocked device.
        try bench.attach(master, pasid: 5, other)
        #expect(bench.output(master, 0x1000, pasid: 5) == 0x200_0000_0000)
        #expect(bench.output(master, 0x1000) == nil)
        #expect(errno { try bench.attach(master, second) } == .EBUSY)
        try bench.attach(master, own)
        #expect(bench.output(master, 0x1000) == 0x100_0000_0000)
        #expect(bench.output(master, 0x1000, pasid: 5) == 0x200_0000_0000)
        try bench.attach(master, .blocked)
        #expect(bench.output(master, 0x1000) == nil)
        #expect(bench.output(master, 0x1000, pasid: 5) == 0x200_0000_0000)
        try bench.attach(master, pasid: 5, .blocked)
        #expect(bench.translate(master, 0x1000, pasid: 5) == .terminated(.steAbort))
        // Stage 2 has no room for PASIDs.
        try bench.attach(master, second)
        #expect(errno { try bench.attach(master, pasid: 5, other) } == .EINVAL)
        #expect(errno { try bench.attach(master, pasid: 0, other) } == .EINVAL)
        #expect(errno { try bench.attach(master, pasid: 1024, other) } == .EINVAL)
        let plain = try bench.master(0x101)
        #expect(errno { try bench.attach(plain, pasid: 1, other) } == .EOPNOTSUPP)
        driver.removeMaster(master)
        #expect(second.userCount == 0)
        #expect(driver.queue.errors == 0)
    }

    @Test func twoLevelContextTable() throws {
        let bench = try DriverTestBench()
        let master = try bench.master(pasidBits: 16)
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        let other = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: true)
        try domain.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
        try other.map(iova: 0x1000, pa: 0x200_0000_0000, length: 0x1000, access: .read, hugePages: true)
        for pasid: UInt32 in [1, 1023, 1024, 65535] {
            try bench.attach(master, pasid: pasid, domain)
            #expect(bench.output(master, 0x1000, pasid: pasid) == 0x100_0000_0000)
        }
        for pasid: UInt32 in [1, 1023, 1024, 65535] {
            try bench.attach(master, pasid: pasid, other)
            #expect(bench.output(master, 0x1000, pasid: pasid) == 0x200_0000_0000)
        }
        let before = bench.pages.bytesInUse
        let prepared = try bench.driver.prepare(master, pasid: 2048, target: .paging(domain, faults: false))
        #expect(bench.pages.bytesInUse == before + 65536)
        bench.driver.abandon(prepared)
        #expect(bench.pages.bytesInUse == before)
        bench.driver.removeMaster(master)
        #expect(other.userCount == 0)
    }
}
