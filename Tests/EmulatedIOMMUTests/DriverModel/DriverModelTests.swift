import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU

/// Random maps, unmaps, attachments and DMA against plain dictionaries, on an SMMU that forgets nothing by itself: a
/// missing invalidation shows as a stale answer.
@Suite struct DriverModelTests {
    /// - Returns: the number of the step that failed, and how.
    static func run(_ steps: [ModelStep], _ identification: Identification) throws -> (index: Int, text: String)? {
        let world = try ModelWorld(identification)
        for (index, step) in steps.enumerated() {
            if let text = try world.apply(step) { return (index, text) }
            if index % 2048 == 2047, let text = world.audit() { return (index, text) }
        }
        if let text = world.audit() { return (steps.count, text) }
        if steps.count >= 10_000, world.hits < 400 { return (steps.count, "only \(world.hits) accesses got through") }
        return world.bench.driver.queue.errors == 0 ? nil : (steps.count, "commands were refused")
    }

    static func identification(_ kind: Int) -> Identification {
        var identification = Identification.laboratory
        // Without range invalidation; without BBML, so that splits break before they make.
        if kind == 1 { identification.IDR3 &= ~(1 << 10) }
        if kind == 2 { identification.IDR0 &= ~(1 << 19) }
        return identification
    }

    @Test(arguments: 0..<12) func staleTranslationsNeverShow(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let steps = (0..<20_000).map { _ in generator.step() }
        let identification = Self.identification(seed % 3)
        let complaint = try RandomRun { try Self.run($0, identification) }.complaint(about: steps)
        #expect(complaint == nil, "seed \(seed) \(complaint ?? "")")
    }

    /// The method itself: with one TLBI suppressed the model has to notice.
    @Test func aMissingInvalidationIsNoticed() throws {
        let world = try ModelWorld(.laboratory)
        let map = ModelStep.map(domain: 0, place: 0, size: 0, frame: 3, writable: true, huge: true, memory: nil)
        #expect(try world.apply(map) == nil)
        #expect(try world.apply(.attach(device: 0, pasid: 0, domain: 0, memory: nil)) == nil)
        #expect(try world.apply(.dma(device: 0, pasid: 0, place: 0, page: 0, write: false)) == nil)
        let model = world.models[0]
        model.domain.unmap(iova: ModelWorld.address(0), length: 0x1000)
        model.mappings = []
        #expect(try world.apply(.dma(device: 0, pasid: 0, place: 0, page: 0, write: false)) != nil)
        model.domain.flush()
        #expect(try world.apply(.dma(device: 0, pasid: 0, place: 0, page: 0, write: false)) == nil)
    }
}
