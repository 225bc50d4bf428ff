import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

@Suite struct DriverDirtyTests {
    private func dirty(_ bitmap: [UInt8]) -> [Int] {
        bitmap.indices.flatMap { byte in (0..<8).filter { bitmap[byte] >> UInt8($0) & 1 == 1 }.map { byte * 8 + $0 } }
    }

    @Test func writesAreSeenOnce() throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: true, pasid: false)
        let access: IOMMU.Access = [.read, .write]
        try domain.map(iova: 0x10_0000, pa: 0x100_0000_0000, length: 0x4_0000, access: access, hugePages: false)
        try bench.attach(master, domain)
        // Before tracking starts a write dirties nothing that counts.
        #expect(bench.output(master, 0x10_0000, .write) != nil)
        try domain.setDirtyTracking(true)
        func read(clear: Bool) throws -> [Int] {
            var bitmap = [UInt8](repeating: 0, count: 8)
            let count = try domain.readDirty(
                iova: 0x10_0000, length: 0x4_0000, pageSize: 4096, clear: clear, into: &bitmap
            )
            #expect(Int(count) == dirty(bitmap).count)
            return dirty(bitmap)
        }
        #expect(try read(clear: false) == [])
        for page in [0, 7, 8, 9, 63] {
            #expect(bench.output(master, 0x10_0000 + UInt64(page) << 12, .write) != nil)
            #expect(bench.output(master, 0x10_0000 + UInt64((page + 3) % 64) << 12) != nil)
        }
        #expect(try read(clear: false) == [0, 7, 8, 9, 63])
        #expect(try read(clear: true) == [0, 7, 8, 9, 63])
        #expect(try read(clear: true) == [])
        // The cached translation must not hide the next write.
        #expect(bench.output(master, 0x10_7000, .write) != nil)
        #expect(try read(clear: true) == [7])
        // What is mapped while tracking starts clean.
        try domain.map(iova: 0x20_0000, pa: 0x200_0000_0000, length: 0x1000, access: [.read, .write], hugePages: false)
        var one: [UInt8] = [0]
        #expect(try domain.readDirty(iova: 0x20_0000, length: 0x1000, pageSize: 4096, clear: false, into: &one) == 0)
        #expect(bench.output(master, 0x20_0000, .write) != nil)
        #expect(try domain.readDirty(iova: 0x20_0000, length: 0x1000, pageSize: 4096, clear: false, into: &one) == 1)
    }

    /// Ranges across leaves of every size, with bits smaller and larger than the leaf.
    @Test(arguments: [UInt64(1024), 4096, 16384, 1 << 21, 1 << 22]) func leavesOfEverySize(_ pageSize: UInt64) throws {
        let bench = try DriverTestBench()
        let master = try bench.master()
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: true, pasid: false)
        let start: UInt64 = 0x4000_0000 - 0x4000
        let length: UInt64 = 0x4000 + (1 << 30) + (4 << 20)
        let access: IOMMU.Access = [.read, .write]
        try domain.map(iova: start, pa: 0x100_3fff_c000, length: length, access: access, hugePages: true)
        try bench.attach(master, domain)
        try domain.setDirtyTracking(true)
        let leaves: [(address: UInt64, first: UInt64, bytes: UInt64)] = [
            (start + 0x1234, start + 0x1000, 0x1000), (0x8020_0008, 0x8020_0000, 2 << 20),
        ]
        var expected: Set<UInt64> = []
        for leaf in leaves {
            #expect(bench.output(master, leaf.address, .write) != nil)
            for page in (leaf.first - start) / pageSize...(leaf.first + leaf.bytes - 1 - start) / pageSize {
                expected.insert(page)
            }
        }
        var bitmap = [UInt8](repeating: 0, count: Int((length / pageSize + 8) / 8) + 1)
        let count = try domain.readDirty(iova: start, length: length, pageSize: pageSize, clear: true, into: &bitmap)
        #expect(Set(dirty(bitmap).map(UInt64.init)) == expected)
        #expect(Int(count) == expected.count)
        #expect(try domain.readDirty(iova: start, length: length, pageSize: pageSize, clear: true, into: &bitmap) == 0)
        // The gigabyte block is one leaf.
        #expect(bench.output(master, 0x4000_0000, .write) != nil)
        var inside: [UInt8] = [0]
        let part = pageSize * 4
        let found = try domain.readDirty(
            iova: 0x5000_0000, length: part, pageSize: pageSize, clear: true, into: &inside)
        #expect(found == 4)
        #expect(inside == [0xf])
    }

    @Test func refusals() throws {
        let bench = try DriverTestBench()
        #expect(throws: IOMMUError.self) {
            try bench.driver.makePagingDomain(.nestParent, dirtyTracking: true, pasid: false)
        }
        let plain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: false, pasid: false)
        #expect(throws: IOMMUError.self) { try plain.setDirtyTracking(true) }
        let domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: true, pasid: false)
        var small: [UInt8] = [0]
        #expect(throws: IOMMUError.self) {
            try domain.readDirty(iova: 0, length: 9 * 4096, pageSize: 4096, clear: false, into: &small)
        }
        #expect(throws: IOMMUError.self) {
            try domain.readDirty(iova: .max - 4095, length: 8192, pageSize: 4096, clear: false, into: &small)
        }
    }
}
