import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// The areas of an address space that a client describes, beside a plain list of its pages.
@Suite struct SyntheticMemoryTests {
    private struct Page: Equatable {
        let physical: UInt64
        let isPopulated: Bool
    }

    private let memory = SyntheticMemory(account: Account(uid: 1))
    private let objects: [MemoryObject]

    init() throws {
        objects = try (0..<3).map { _ in try MemoryObject.creating(size: 1 << 16, name: nil, huge: false) }
    }

    private func insert(_ range: AddressRange, object: Int, offset: UInt64, isPopulated: Bool) {
        memory.insert(
            range, objects[object], id: ObjectID(object + 1), location: UInt64(object) << 40, offset: offset,
            access: .read, isPopulated: isPopulated)
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func agreesWithAListOfPages(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var pages: [UInt64: Page] = [:]
        for _ in 0..<2000 {
            let range = try #require(
                AddressRange(
                    start: random.next(below: 512) << 12, length: (1 + random.next(below: 8)) << 12 as UInt64))
            let covered = (range.start >> 12)...(range.last >> 12)
            if random.next(below: 3) > 0 {
                let isFree = !covered.contains { pages[$0] != nil }
                #expect((try? memory.check(range)) != nil || !isFree)
                guard isFree else { continue }
                let object: Int = random.next(below: 3)
                let offset: UInt64 = random.next(below: 8) << 12
                let isPopulated = random.next(below: 2) == 0
                insert(range, object: object, offset: offset, isPopulated: isPopulated)
                for page in covered {
                    let base = UInt64(object) << 40
                    let physical = base + offset + ((page - covered.lowerBound) << 12)
                    pages[page] = Page(physical: physical, isPopulated: isPopulated)
                }
            } else {
                memory.remove(range)
                for page in covered { pages[page] = nil }
            }
            let page: UInt64 = random.next(below: 520)
            let found = memory.area(at: page << 12)
            #expect(
                found.map { Page(physical: $0.physical(page << 12), isPopulated: $0.isPopulated) } == pages[page])
        }
        #expect(objects.reduce(0) { $0 + $1.mappings } == memory.count, "each area counts once")
        memory.removeAll()
        #expect(objects.allSatisfy { $0.mappings == 0 })
    }

    /// What is unmapped at a time: so many areas, the last part all that is left.
    @Test func aRangeIsTakenInParts() throws {
        for index in 0..<10 as Range<UInt64> {
            insert(
                try #require(AddressRange(start: index << 20, length: 4096)), object: 0, offset: 0, isPopulated: true)
        }
        let range = try #require(AddressRange(start: 1 << 20, last: (9 << 20) - 1))
        #expect(memory.part(of: range, areas: 3) == AddressRange(start: 1 << 20, length: (2 << 20) + 4096))
        #expect(memory.part(of: range, areas: 100) == range)
    }
}
