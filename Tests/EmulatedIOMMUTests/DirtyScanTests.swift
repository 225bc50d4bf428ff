import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU

/// The scan for dirty pages takes eight at a time; a plain loop over the same descriptors says what is right.
@Suite struct DirtyScanTests {
    private static let start: UInt64 = 0x40_0000
    /// Eight pages for each value of a byte.
    private static let pages = 256 * 8
    private static let deciding = LeafAttributes.valid | LeafAttributes.dirtyBitModifier | LeafAttributes.readOnly

    private static let dirty = LeafAttributes.valid | LeafAttributes.dirtyBitModifier

    private let bench: DriverTestBench
    private let domain: PagingDomain
    /// The descriptors of the pages.
    private let words: [UnsafeMutablePointer<UInt64>]

    init() throws {
        bench = try DriverTestBench()
        domain = try bench.driver.makePagingDomain(.stage1, dirtyTracking: true, pasid: false)
        try domain.map(
            iova: Self.start, pa: 0x100_0000_0000, length: UInt64(Self.pages) << 12, access: [.read, .write],
            hugePages: false)
        try domain.setDirtyTracking(true)
        let table = domain.table
        words = (0..<Self.pages).map { Self.word($0, table) }
    }

    /// Where the page's descriptor lies.
    private static func word(_ page: Int, _ table: PageTable) -> UnsafeMutablePointer<UInt64> {
        var address = table.root
        let iova = Self.start + UInt64(page) << 12
        for level in 0..<3 {
            address = table.address(in: table.memory.load(address + table.index(iova, level: level) * 8), level: level)
        }
        return table.memory.pointer(address) + Int(table.index(iova, level: 3))
    }

    /// Each group of eight has the dirty pages that its number says; the others are clean, read-only or absent.
    private func setEveryPattern(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for page in 0..<Self.pages {
            // All that does not decide is noise.
            var descriptor = UInt64.random(in: 0 ... .max, using: &random) & ~Self.deciding | 2
            if (page / 8) >> (page % 8) & 1 == 1 {
                descriptor |= Self.dirty
            } else {
                let others = [UInt64(0), 1, 2, 3, 4, 6, 7]
                let kind = others[Int.random(in: 0..<others.count, using: &random)]
                if kind & 1 != 0 { descriptor |= LeafAttributes.valid }
                if kind & 2 != 0 { descriptor |= LeafAttributes.readOnly }
                if kind & 4 != 0 { descriptor |= LeafAttributes.dirtyBitModifier }
            }
            words[page].pointee = descriptor
        }
    }

    /// The same range, one page after the other.
    private func plain(_ pages: Range<Int>, _ bitmap: inout [UInt8]) -> UInt64 {
        var count: UInt64 = 0
        for (bit, page) in pages.enumerated() {
            let isDirty = words[page].pointee & Self.deciding == Self.dirty
            guard isDirty, bitmap[bit / 8] >> UInt8(bit % 8) & 1 == 0 else { continue }
            bitmap[bit / 8] |= 1 << UInt8(bit % 8)
            count += 1
        }
        return count
    }

    @Test(arguments: [false, true]) func everyPatternIsFound(_ clear: Bool) throws {
        let ranges = [
            0..<Self.pages, 0..<8, 3..<Self.pages - 3, 8..<1024, 505..<520, 511..<513, 512..<1024, 1..<2, 1000..<1021,
        ]
        for (seed, range) in ranges.enumerated() {
            for preset in [UInt8(0), 0xff, 0xa5] {
                setEveryPattern(seed: UInt64(seed + 1))
                var after = words.map(\.pointee)
                for page in range where clear && after[page] & Self.deciding == Self.dirty {
                    after[page] |= LeafAttributes.readOnly
                }
                var expected = [UInt8](repeating: preset, count: range.count / 8 + 2)
                var bitmap = expected
                let count = plain(range, &expected)
                let found = try domain.readDirty(
                    iova: Self.start + UInt64(range.lowerBound) << 12, length: UInt64(range.count) << 12,
                    pageSize: 4096, clear: clear, into: &bitmap)
                #expect(found == count, "\(range)")
                #expect(bitmap == expected, "\(range)")
                #expect(words.map(\.pointee) == after, "\(range)")
            }
        }
    }

    /// What is cleaned has to be invalidated, and nothing else.
    @Test func whatIsCleanedIsNamed() throws {
        setEveryPattern(seed: 7)
        for pattern in 0..<256 {
            var gather = InvalidationGather()
            var bitmap: DirtyBitmap?
            var bytes = [UInt8](repeating: 0, count: 1)
            let iova = Self.start + UInt64(pattern * 8) << 12
            bytes.withUnsafeMutableBufferPointer { bytes in
                bitmap = DirtyBitmap(bytes: bytes, start: iova, pageShift: 12)
                domain.table.readDirty(iova: iova, last: iova + 0x7fff, clear: true, into: &bitmap, gather: &gather)
            }
            #expect(bytes[0] == UInt8(pattern))
            var named = 0
            gather.forEachRange { range in
                for page in stride(from: range.start, to: range.end, by: 4096) {
                    named |= 1 << Int((page - iova) >> 12)
                }
            }
            #expect(named == pattern)
            #expect(gather.isEmpty == (pattern == 0))
        }
    }
}
