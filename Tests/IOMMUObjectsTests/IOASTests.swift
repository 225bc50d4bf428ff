import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

@Suite struct IOASTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let ioas: ObjectID
    let memory: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        ioas = try context.allocateIOAS()
        memory = try laboratory.memory()
    }

    // MARK: Map

    @Test func fixedMappingsMayNotOverlap() throws {
        try laboratory.map(ioas, memory, at: 0x10000, length: 0x4000)
        for (iova, length) in [(0x10000, 0x1000), (0x13000, 0x2000), (0xf000, 0x1001), (0xf000, 0x8000)]
            as [(UInt64, UInt64)]
        {
            expectRefusal(.EEXIST, .alreadyMapped, in: laboratory) {
                try laboratory.map(ioas, memory, at: iova, length: length)
            }
        }
        try laboratory.map(ioas, memory, at: 0xf000)
        try laboratory.map(ioas, memory, at: 0x14000)
        #expect(context.mappedBytes == 0x6000)
    }

    @Test func badShapesAreRefused() throws {
        expectRefusal(.EINVAL, .zeroLength, in: laboratory) { try laboratory.map(ioas, memory, at: 0, length: 0) }
        expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(ioas, memory, at: .max - 4095, length: 8192) }
        expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(ioas, memory, at: .max, length: 2) }
        expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(ioas, memory, at: 4096, length: .max) }
        expectRefusal(.EINVAL, .outsideMemory, in: laboratory) {
            try laboratory.map(ioas, memory, at: 0, length: 1 << 25)
        }
        expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(ioas, memory, at: 0, offset: .max - 4095) }
        expectRefusal(.EINVAL, .outsideMemory, in: laboratory) {
            try laboratory.map(ioas, memory, at: 0, offset: .max - 8191)
        }
        expectRefusal(.EINVAL, .noAccess, in: laboratory) { try laboratory.map(ioas, memory, at: 0, access: []) }
        expectRefusal(.ENOENT, .unknownMemory, in: laboratory) { try laboratory.map(ioas, 99, at: 0) }
        for id in [0, 99, .max, 1 << 31] as [ObjectID] {
            expectRefusal(.ENOENT, .unknownIOAS, in: laboratory) { try laboratory.map(id, memory, at: 0) }
        }
    }

    @Test func withoutTablesAnyByteCanBeMapped() throws {
        #expect(try context.iovaRanges(ioas: ioas).alignment == 1)
        #expect(try context.iovaRanges(ioas: ioas).ranges == [.everything])
        try laboratory.map(ioas, memory, at: 0x1001, length: 5, offset: 3)
        // Such a mapping keeps hardware away.
        let device = try laboratory.bind(ObjectLaboratory.pci)
        expectRefusal(.EADDRINUSE, .mappingMisaligned, in: laboratory) {
            try context.attach(device: device, to: ioas, pasid: nil)
        }
        try laboratory.map(ioas, memory, at: 0x1000_0000)
        #expect(try context.unmap(ioas: ioas, iova: 0x1001, length: 5) == 5)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
    }

    @Test func smallPagesNeedPages() throws {
        try context.setHugePages(ioas: ioas, false)
        #expect(try context.iovaRanges(ioas: ioas).alignment == 4096)
        expectRefusal(.EINVAL, .misaligned, in: laboratory) { try laboratory.map(ioas, memory, at: 0x1800) }
        expectRefusal(.EINVAL, .misaligned, in: laboratory) { try laboratory.map(ioas, memory, at: 0x1000, length: 5) }
        expectRefusal(.EINVAL, .misaligned, in: laboratory) { try laboratory.map(ioas, memory, at: 0x1000, offset: 8) }
        try laboratory.map(ioas, memory, at: 0x1000)
        #expect(try context.hugePages(ioas: ioas) == false)
        try context.setHugePages(ioas: ioas, true)
        #expect(try context.iovaRanges(ioas: ioas).alignment == 1)
    }

    @Test func hugePagesStayOnOnceTablesAreFilled() throws {
        let device = try laboratory.bind(ObjectLaboratory.pci)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        try laboratory.map(ioas, memory, at: 0x1000)
        expectRefusal(.EINVAL, .alreadyMapped, in: laboratory) { try context.setHugePages(ioas: ioas, false) }
    }

    @Test func mapManyIsAllOrNone() throws {
        let good = (0..<10).map {
            MapRequest(memory: memory, offset: 0, length: 4096, iova: UInt64($0) << 16, access: .read)
        }
        expectRefusal(.EEXIST, in: laboratory) { try context.map(ioas: ioas, many: good + [good[4]]) }
        do {
            _ = try context.map(ioas: ioas, many: good + [good[4]])
        } catch {
            #expect(error.members.contains(.init("index", .number(10))))
        }
        #expect(try context.map(ioas: ioas, many: good) == (0..<10).map { UInt64($0) << 16 })
        #expect(try context.mappings(ioas: ioas, from: 0, limit: 100).mappings.count == 10)
    }

    // MARK: Choice of IOVAs

    @Test func chosenIOVAsAreTheLowestThatFit() throws {
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x1000)
        try laboratory.map(ioas, memory, at: 0x3000)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x2000)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x4000)
        _ = try context.unmap(ioas: ioas, iova: 0x2000, length: 0x1000)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x2000)
    }

    /// What `iopt_alloc_iova` answered in a fresh IOAS.
    @Test(
        arguments: [
            (0, 0x1000, 0x1000), (0, 0x5000, 0x8000), (0x3000, 0x5000, 0x1000), (0, 0x40_0000, 0x20_0000),
            (0x234, 0x100, 0x1234), (0x1234, 0x10, 0x1234), (0x20_0000, 0x20_0000, 0x20_0000), (0, 1, 0x1000),
        ] as [(UInt64, UInt64, UInt64)])
    func chosenIOVAsAreThoseOfLinux(offset: UInt64, length: UInt64, iova: UInt64) throws {
        #expect(try laboratory.map(ioas, memory, at: nil, length: length, offset: offset) == iova)
        let many = try context.allocateIOAS()
        let request = MapRequest(memory: memory, offset: offset, length: length, iova: nil, access: .read)
        #expect(try context.map(ioas: many, many: [request]) == [iova])
        let copy = try context.allocateIOAS()
        #expect(
            try context.copy(from: ioas, iova: iova, length: length, to: copy, iova: nil, access: .read) == iova)
    }

    @Test func theFirstAndTheLastPageAreNeverChosen() throws {
        func allow(_ ranges: (UInt64, UInt64)...) throws {
            try context.allowIOVAs(
                ioas: ioas, ranges: ranges.map { try #require(AddressRange(start: $0.0, last: $0.1)) })
        }
        try allow((0, 0xfff))
        expectRefusal(.ENOSPC, in: laboratory) { try laboratory.map(ioas, memory, at: nil) }
        try allow((.max - 0xfff, .max))
        expectRefusal(.ENOSPC, in: laboratory) { try laboratory.map(ioas, memory, at: nil) }
        try allow((0, 0x1fff))
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x1000)
        // Ranges that touch are one.
        try allow((0x1_0000, 0x1_2fff), (0x1_3000, 0x1_4fff))
        #expect(try laboratory.map(ioas, memory, at: nil, length: 0x4000, offset: 0x1000) == 0x1_0000)
        expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(ioas, memory, at: nil, length: .max) }
    }

    // MARK: The last page

    @Test func theLastPageCanBeMapped() throws {
        let last: UInt64 = .max - 0xfff
        try laboratory.map(ioas, memory, at: last)
        #expect(try context.mappings(ioas: ioas, from: 0, limit: 9).mappings.map(\.iova) == [last])
        expectRefusal(.EEXIST, in: laboratory) { try laboratory.map(ioas, memory, at: last - 0x1000, length: 0x2000) }
        #expect(context.check(devices: [], mappings: [CheckedMapping(iova: last, length: 0x1000)]).isEmpty)
        #expect(
            context.check(devices: [], mappings: [CheckedMapping(iova: last, length: 0x1001)]).map(\.error.errno)
                == [.EOVERFLOW])
        let copy = try context.allocateIOAS()
        #expect(
            try context.copy(from: ioas, iova: last, length: 0x1000, to: copy, iova: last, access: .read) == last)
        expectRefusal(.ENOENT, in: laboratory) { try context.unmap(ioas: ioas, iova: last, length: 0x800) }
        #expect(try context.unmap(ioas: ioas, iova: last, length: 0x1000) == 0x1000)
        #expect(try context.unmap(ioas: copy, iova: 0, length: .max) == 0x1000)
    }

    @Test func whatReallyWrapsIsEOVERFLOW() throws {
        try laboratory.map(ioas, memory, at: 0x1000)
        let other = try context.allocateIOAS()
        func copy(_ iova: UInt64, _ length: UInt64, _ target: UInt64?) throws {
            _ = try context.copy(from: ioas, iova: iova, length: length, to: other, iova: target, access: .read)
        }
        for (iova, length) in [(.max, 1), (.max, 0x1000), (0, .max), (.max - 0xfff, 0x1001)] as [(UInt64, UInt64)] {
            expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(ioas, memory, at: iova, length: length) }
            expectRefusal(.EOVERFLOW, in: laboratory) { try copy(iova, length, nil) }
        }
        expectRefusal(.EOVERFLOW, in: laboratory) { try copy(0x1000, 0x1000, .max) }
        expectRefusal(.EOVERFLOW, in: laboratory) { try copy(0x1000, 0x1000, .max - 0xff) }
    }

    // MARK: Which refusal comes first

    @Test func refusalsComeInTheOrderOfLinux() throws {
        expectRefusal(.EOVERFLOW, in: laboratory) { try laboratory.map(99, memory, at: 0, length: .max, access: []) }
        expectRefusal(.EINVAL, .noAccess, in: laboratory) { try laboratory.map(99, memory, at: 0, access: []) }
        expectRefusal(.EINVAL, .noAccess, in: laboratory) {
            let request = MapRequest(memory: memory, offset: 0, length: 4096, iova: nil, access: [])
            return try context.map(ioas: 99, many: [request])
        }
        expectRefusal(.EINVAL, .noAccess, in: laboratory) {
            try context.copy(from: 99, iova: 0, length: 1, to: 98, iova: nil, access: [])
        }
        expectRefusal(.ENOENT, .notMapped, in: laboratory) {
            try context.copy(from: ioas, iova: 0, length: 4096, to: 98, iova: nil, access: .read)
        }
        let device = try laboratory.bind(ObjectLaboratory.pci)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        try laboratory.map(ioas, memory, at: 0x1000)
        expectRefusal(.EINVAL, .misaligned, in: laboratory) {
            try laboratory.map(ioas, memory, at: .max - 0xff, length: 0x1000)
        }
        expectRefusal(.EINVAL, .misaligned, in: laboratory) {
            try laboratory.map(ioas, memory, at: .max - 0xfff, length: 0x1800)
        }
        expectRefusal(.EEXIST, in: laboratory) { try laboratory.map(ioas, memory, at: 0x1000, offset: 8) }
        expectRefusal(.EINVAL, .misaligned, in: laboratory) { try laboratory.map(ioas, memory, at: 0x5000, offset: 8) }
        let problems = context.check(
            devices: [.id(device)], mappings: [CheckedMapping(iova: .max - 0xff, length: 0x1000)])
        #expect(problems.first?.error.reason == .misaligned)
    }

    @Test func chosenIOVAsAreAlignedAsTheLengthIs() throws {
        let memory = try laboratory.memory(64 << 12)
        for pages in 1...64 as ClosedRange<UInt64> {
            let iova = try laboratory.map(ioas, memory, at: nil, length: pages << 12)
            #expect(iova % (pages << 12).roundedUpToPowerOfTwo == 0, "\(pages) pages at \(String(iova, radix: 16))")
        }
    }

    @Test func chosenIOVAsLetBlocksBeUsed() throws {
        try laboratory.map(ioas, memory, at: nil)
        #expect(try laboratory.map(ioas, memory, at: nil, length: 1 << 21) == 1 << 21)
        // 1 MiB into a block of the memory: 1 MiB into a block of IOVAs.
        #expect(try laboratory.map(ioas, memory, at: nil, length: 1 << 22, offset: 1 << 20) == 4 << 20)
        // As iommufd: no more aligned than length and memory are.
        for pages in 1..<16 as Range<UInt64> {
            let iova = try laboratory.map(ioas, memory, at: nil, length: pages * 4096)
            #expect(iova.isMultiple(of: 4096 << UInt64(pages.trailingZeroBitCount)))
        }
    }

    @Test func allowedRangesSteerTheChoiceOnly() throws {
        let ranges = [
            try #require(AddressRange(start: 0x10000, last: 0x11fff)),
            try #require(AddressRange(start: 0x80000, last: 0x80fff)),
        ]
        try context.allowIOVAs(ioas: ioas, ranges: ranges)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x10000)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x11000)
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x80000)
        expectRefusal(.ENOSPC, .noFreeIOVA, in: laboratory) { try laboratory.map(ioas, memory, at: nil) }
        try laboratory.map(ioas, memory, at: 0x50_0000)
        #expect(try context.iovaRanges(ioas: ioas).ranges == [.everything])
        try context.allowIOVAs(ioas: ioas, ranges: [])
        #expect(try laboratory.map(ioas, memory, at: nil) == 0x1000)
    }

    @Test func badAllowedRangesAreRefused() throws {
        let wide = try #require(AddressRange(start: 0, last: 0xffff_ffff))
        let inner = try #require(AddressRange(start: 0x1000, last: 0x1fff))
        let byte = try #require(AddressRange(start: 5, last: 5))
        expectRefusal(.EINVAL, in: laboratory) { try context.allowIOVAs(ioas: ioas, ranges: [wide, inner]) }
        expectRefusal(.EINVAL, in: laboratory) { try context.allowIOVAs(ioas: ioas, ranges: [byte]) }
        let device = try laboratory.bind(ObjectLaboratory.pci)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        expectRefusal(.EADDRINUSE, in: laboratory) { try context.allowIOVAs(ioas: ioas, ranges: [wide]) }
    }

    // MARK: Unmap
}
