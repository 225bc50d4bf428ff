import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU

/// After every operation and its reply no access of any device answers anything that a machine without caches would
/// not.
@Suite struct CachelessTests {
    /// - Returns: the number of the step that failed, and how.
    static func run(
        _ steps: [CachelessStep], _ identification: Identification
    ) throws -> (index: Int, text: String)? {
        let world = try CachelessWorld(identification)
        for (index, step) in steps.enumerated() {
            if let text = try world.apply(step) { return (index, text) }
        }
        if world.bench.driver.queue.errors > 0 { return (steps.count, "commands were refused") }
        guard steps.count >= 5_000 else { return nil }
        let isPoor = world.hits < 300 || world.nestedHits < 100 || world.cachedHits < 5
        let counts = "\(world.hits) \(world.nestedHits) \(world.cachedHits)"
        return isPoor ? (steps.count, "only \(counts) accesses got through") : nil
    }

    @Test(arguments: 0..<6) func nothingOutlivesWhatItCameFrom(_ seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let steps = (0..<5_000).map { _ in generator.cachelessStep() }
        let identification = DriverModelTests.identification(seed % 3)
        let complaint = try RandomRun(budget: 200_000) { try Self.run($0, identification) }.complaint(about: steps)
        #expect(complaint == nil, "seed \(seed) \(complaint ?? "")")
    }

    /// A guest reads a page and ends, the page is unmapped, another guest of the same parent begins.
    @Test(arguments: [true, false]) func aPageThatWasUnmappedBetweenTwoGuests(_ staysOnParent: Bool) throws {
        let world = try CachelessWorld(.laboratory)
        let place = 3
        let steps: [CachelessStep] = [
            .map(domain: 4, place: place, size: 0, frame: 7),
            .guestMap(parent: 0, table: 0, place: 9, to: place),
            .attachNested(device: 1, parent: 0, hwpt: 0),
            .dma(device: 1, pasid: 0, place: 9, page: 0, write: true),
            .rebirth(parent: 0, toParent: staysOnParent),
            .unmap(domain: 4, index: 0),
            .rebirth(parent: 0, toParent: staysOnParent),
            .attachNested(device: 1, parent: 0, hwpt: 0),
            .dma(device: 1, pasid: 0, place: 9, page: 0, write: true),
        ]
        for (index, step) in steps.enumerated() { #expect(try world.apply(step) == nil, "step \(index)") }
        #expect(world.nestedHits == 1)
    }

    /// The method itself: a TLBI that is left out has to show.
    @Test func aMissingInvalidationIsNoticed() throws {
        let world = try CachelessWorld(.laboratory)
        let access = CachelessStep.dma(device: 3, pasid: 0, place: 0, page: 0, write: false)
        for step in [.map(domain: 0, place: 0, size: 0, frame: 3), .attach(device: 3, pasid: 0, domain: 0), access] {
            #expect(try world.apply(step) == nil)
        }
        world.domains[0].unmap(iova: ModelWorld.address(0), length: 0x1000)
        #expect(try world.apply(access) != nil)
        world.domains[0].flush()
        #expect(try world.apply(access) == nil)
    }
}
