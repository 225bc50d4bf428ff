import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

/// Mappings that are there: taken away, copied, listed, counted.
extension IOASTests {
    @Test func unmapTakesWholeMappingsOnly() throws {
        for index in 0..<4 as Range<UInt64> { try laboratory.map(ioas, memory, at: index * 0x4000, length: 0x2000) }
        for (iova, length) in [
            (0, 0x1000), (0x1000, 0x1000), (0, 0x5000), (0x1000, 0x5000), (0x2000, 0x1000), (0x2000, 0x2fff),
            (0x10_0000, 0x1000),
        ] as [(UInt64, UInt64)] {
            expectRefusal(.ENOENT, in: laboratory) { try context.unmap(ioas: ioas, iova: iova, length: length) }
        }
        for (iova, length) in [(2, .max), (1, .max), (.max, 1)] as [(UInt64, UInt64)] {
            expectRefusal(.EOVERFLOW, in: laboratory) { try context.unmap(ioas: ioas, iova: iova, length: length) }
        }
        expectRefusal(.EINVAL, in: laboratory) { try context.unmap(ioas: ioas, iova: 2, length: 0) }
        // A superset, holes included.
        #expect(try context.unmap(ioas: ioas, iova: 0x2000, length: 0x8000) == 0x4000)
        #expect(try context.unmap(ioas: ioas, iova: 0, length: .max) == 0x4000)
        #expect(try context.unmap(ioas: ioas, iova: 0, length: .max) == 0)
        #expect(context.mappedBytes == 0 && context.mappingCount == 0)
        try context.closeMemory(memory)
    }

    // MARK: Copy

    @Test func copyTakesAContiguousPart() throws {
        let target = try context.allocateIOAS()
        try laboratory.map(ioas, memory, at: 0x1000, length: 0x2000, offset: 0x8000)
        try laboratory.map(ioas, memory, at: 0x3000, length: 0x2000, offset: 0x20000, access: .read)
        try laboratory.map(ioas, memory, at: 0x8000)
        func copy(_ iova: UInt64, _ length: UInt64, _ fixed: UInt64?, _ access: Access) throws -> UInt64 {
            try context.copy(from: ioas, iova: iova, length: length, to: target, iova: fixed, access: access)
        }
        expectRefusal(.EPERM, in: laboratory) { try copy(0x2000, 0x2000, nil, [.read, .write]) }
        expectRefusal(.ENOENT, in: laboratory) { try copy(0x4000, 0x2000, nil, .read) }
        expectRefusal(.ENOENT, in: laboratory) { try copy(0, 0x2000, nil, .read) }
        expectRefusal(.EINVAL, in: laboratory) { try copy(0x1000, 0, nil, .read) }
        expectRefusal(.EOVERFLOW, in: laboratory) { try copy(0x1000, .max, nil, .read) }
        #expect(try copy(0x2000, 0x2000, 0x10_0000, .read) == 0x10_0000)
        let mappings = try context.mappings(ioas: target, from: 0, limit: 10).mappings
        #expect(mappings.map(\.offset) == [0x9000, 0x20000])
        #expect(mappings.map(\.length) == [0x1000, 0x1000])
        expectRefusal(.EEXIST, in: laboratory) { try copy(0x1000, 0x2000, 0x10_1000, .read) }
        expectRefusal(.EEXIST, in: laboratory) { try copy(0x1000, 0x4000, 0xf_e000, .read) }
    }

    /// Memory that was mapped for writing can be, again and again, whatever a copy between is good for.
    @Test func aCopyOfAReadOnlyCopyMayBeWritable() throws {
        let (second, third) = (try context.allocateIOAS(), try context.allocateIOAS())
        try laboratory.map(ioas, memory, at: 0x1000)
        try laboratory.map(ioas, memory, at: 0x2000, access: .read)
        func copy(_ from: ObjectID, _ iova: UInt64, _ length: UInt64, _ to: ObjectID, _ access: Access) throws {
            _ = try context.copy(from: from, iova: iova, length: length, to: to, iova: iova, access: access)
        }
        try copy(ioas, 0x1000, 0x2000, second, .read)
        try copy(second, 0x1000, 0x1000, third, [.read, .write])
        #expect(try context.mappings(ioas: third, from: 0, limit: 1).mappings[0].access == [.read, .write])
        expectRefusal(.EPERM, .copyAddsWrite, in: laboratory) { try copy(second, 0x2000, 0x1000, third, .write) }
        // What is there already is told first.
        try laboratory.map(third, memory, at: 0x2000)
        expectRefusal(.EEXIST, in: laboratory) { try copy(second, 0x2000, 0x1000, third, .write) }
    }

    // MARK: Listing and quotas

    @Test func mappingsAreListedInPages() throws {
        for index in 0..<10 as Range<UInt64> { try laboratory.map(ioas, memory, at: index << 16) }
        let first = try context.mappings(ioas: ioas, from: 0, limit: 4)
        #expect(first.mappings.map(\.iova) == [0, 0x10000, 0x20000, 0x30000] && first.next == 0x40000)
        let rest = try context.mappings(ioas: ioas, from: 0x40fff, limit: 100)
        #expect(rest.mappings.count == 6 && rest.next == nil)
    }

    @Test func quotasHold() throws {
        var limits = ContextLimits()
        limits.mappings = 3
        limits.objects = 4
        let account = Account(uid: 1, limits: [.mappedBytes: 0x8000])
        let laboratory = try ObjectLaboratory(limits: limits, account: account)
        let ioas = try laboratory.context.allocateIOAS()
        let memory = try laboratory.memory()
        expectRefusal(.EDQUOT, in: laboratory) { try laboratory.map(ioas, memory, at: 0, length: 0x9000) }
        for index in 0..<3 as Range<UInt64> { try laboratory.map(ioas, memory, at: index << 16) }
        expectRefusal(.EDQUOT, in: laboratory) { try laboratory.map(ioas, memory, at: 0x90000) }
        _ = try laboratory.context.allocateIOAS()
        _ = try laboratory.context.allocateIOAS()
        expectRefusal(.EDQUOT, in: laboratory) { try laboratory.context.allocateIOAS() }
        laboratory.context.close()
        #expect(Account.Resource.allCases.allSatisfy { account.used($0) == 0 })
    }

    @Test func memoryIsClosedOnlyUnmapped() throws {
        try laboratory.map(ioas, memory, at: 0)
        expectRefusal(.EBUSY, .memoryMapped, in: laboratory) { try context.closeMemory(memory) }
        try context.destroy(object: ioas)
        try context.closeMemory(memory)
        #expect(context.isEmpty)
    }
}
