import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Devices with ATS keep translations of their own, which only CMD_ATC_INV takes from them.
@Suite struct TranslationCacheTests {
    /// The devices' side of the SMMU, on which invalidations can get lost.
    private final class LosingLink: SMMUDelegate {
        private let base: any SMMUDelegate
        var isLosing = false
        private(set) var lost = 0

        init(_ base: any SMMUDelegate) { self.base = base }

        func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
            guard isLosing else { return base.invalidateTranslations(invalidation) }
            lost += 1
            return true
        }

        func interruptRaised(_ interrupt: Interrupt) { base.interruptRaised(interrupt) }
        func stallResolved(_ resolution: StallResolution) { base.stallResolved(resolution) }
        func pageRequestAnswered(_ answer: PageRequestAnswer) { base.pageRequestAnswered(answer) }
    }

    private final class Bench {
        let laboratory = try? Laboratory()
        let context: ObjectContext
        let device: ObjectID
        let ioas: ObjectID
        let memory: ObjectID
        let link: LosingLink
        let smmu: EmulatedSMMU

        init() throws {
            let laboratory = try #require(laboratory)
            context = laboratory.context
            smmu = laboratory.backend.smmus[0]
            link = LosingLink(try #require(smmu.smmu.delegate))
            smmu.smmu.delegate = link
            device = try laboratory.bind("0000:01:00.0")
            ioas = try context.allocateIOAS()
            memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
            try context.writeMemory(memory, offset: 0, bytes: [1, 2, 3, 4])
            _ = try context.attach(device: device, to: ioas, pasid: nil)
            try map()
        }

        func map() throws {
            let request = MapRequest(memory: memory, offset: 0, length: 4096, iova: 0x1000, access: [.read, .write])
            _ = try context.map(ioas: ioas, request)
        }

        func read() throws -> [UInt8]? { try laboratory?.read(device, 0x1000, 4) }
    }

    private static let attributes = OutputAttributes(
        memoryAttributes: 0xff, shareability: 3, isReadable: true, isWritable: true, isExecutable: false)

    /// What the unmapping driver did not tell the device, the device goes on to use.
    @Test func aLostInvalidationIsStaleDMA() throws {
        let bench = try Bench()
        #expect(try bench.read() == [1, 2, 3, 4])
        bench.link.isLosing = true
        _ = try bench.context.unmap(ioas: bench.ioas, iova: 0x1000, length: 4096)
        #expect(bench.link.lost == 1)
        #expect(try bench.read() == [1, 2, 3, 4], "stale: nobody told the device")
        // It never asked to write before, and the SMMU grants nothing new.
        #expect(refusal { try bench.laboratory?.write(bench.device, 0x1000, [9]) }?.eventType == "F_TRANSLATION")
        #expect(try bench.context.readMemory(bench.memory, offset: 0, length: 1) == [1])
    }

    @Test func anInvalidationTakesItAway() throws {
        let bench = try Bench()
        #expect(try bench.read() == [1, 2, 3, 4])
        _ = try bench.context.unmap(ioas: bench.ioas, iova: 0x1000, length: 4096)
        #expect(refusal { _ = try bench.read() }?.eventType == "F_TRANSLATION")
        try bench.map()
        #expect(try bench.read() == [1, 2, 3, 4])
    }

    /// A device whose ATS went off asks the SMMU, and when it goes on again knows nothing.
    @Test func detachingEndsIt() throws {
        let bench = try Bench()
        #expect(try bench.read() == [1, 2, 3, 4])
        try bench.context.detach(device: bench.device, pasid: nil)
        #expect(refusal { _ = try bench.read() }?.errno == .EFAULT)
        let other = try bench.context.allocateIOAS()
        _ = try bench.context.attach(device: bench.device, to: other, pasid: nil)
        #expect(refusal { _ = try bench.read() }?.eventType == "F_TRANSLATION")
    }

    /// Ranges, PASIDs and everything; a page larger than the range goes as a whole.
    @Test func whatAnInvalidationCovers() {
        func output(_ address: UInt64, _ size: UInt64) -> Output {
            Output(address: address, pageSize: size, attributes: Self.attributes, isCached: false)
        }
        func filled() -> TranslationCache {
            let cache = TranslationCache()
            cache.insert(output(0x10_0000_0123, 0x1000), for: 0x1123, pasid: nil, .read)
            cache.insert(output(0x10_0000_2000, 0x1000), for: 0x2000, pasid: 5, .read)
            cache.insert(output(0x10_0020_0000, 0x20_0000), for: 0x20_0000, pasid: 6, .write)
            return cache
        }
        func known(_ cache: TranslationCache) -> [Bool] {
            [
                cache.output(for: 0x1fff, pasid: nil, .read)?.address == 0x10_0000_0fff,
                cache.output(for: 0x2008, pasid: 5, .read)?.address == 0x10_0000_2008,
                cache.output(for: 0x3f_ffff, pasid: 6, .write)?.address == 0x10_003f_ffff,
            ]
        }
        func after(_ pasid: UInt32?, _ address: UInt64, _ log2Size: Int) -> [Bool] {
            let cache = filled()
            cache.invalidate(
                ATCInvalidation(
                    streamID: 0, substreamID: pasid, global: false, address: address, log2Size: log2Size))
            return known(cache)
        }
        #expect(known(filled()) == [true, true, true])
        #expect(filled().output(for: 0x1000, pasid: nil, .write) == nil)
        #expect(after(nil, 0x1000, 12) == [false, true, true])
        #expect(after(nil, 0x2000, 13) == [true, false, true])
        #expect(after(5, 0, 64) == [true, false, true])
        #expect(after(6, 0x30_0000, 12) == [true, true, false])
        #expect(after(nil, 0, 64) == [false, false, false])
    }

    @Test func itIsSmall() {
        let cache = TranslationCache()
        for page in 0..<UInt64(TranslationCache.capacity + 3) {
            let output = Output(
                address: 0x10_0000_0000, pageSize: 4096, attributes: Self.attributes, isCached: false)
            cache.insert(output, for: page << 12, pasid: nil, .read)
        }
        #expect(cache.output(for: 0x2000, pasid: nil, .read) == nil)
        #expect(cache.output(for: 0x3000, pasid: nil, .read) != nil)
    }
}
