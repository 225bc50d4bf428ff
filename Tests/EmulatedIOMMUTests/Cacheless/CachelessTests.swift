import IOMMU
import SMMUv3
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

    /// The shortest part of a failing run that still fails, found by leaving out ever smaller pieces.
    static func shrink(_ failing: [CachelessStep], _ identification: Identification) throws -> [CachelessStep] {
        var steps = failing
        var piece = max(steps.count / 2, 1)
        var budget = 200_000
        while true {
            var start = 0
            while start < steps.count {
                var shorter = steps
                shorter.removeSubrange(start..<min(start + piece, steps.count))
                budget -= shorter.count
                if budget < 0 { return steps }
                if try run(shorter, identification) != nil { steps = shorter } else { start += piece }
            }
            if piece == 1 { return steps }
            piece = max(piece / 2, 1)
        }
    }

    @Test(arguments: 0..<6) func nothingOutlivesWhatItCameFrom(_ seed: Int) throws {
        var generator = ModelStepGenerator(state: 0x2545_f491_4f6c_dd1d &* UInt64(seed + 1))
        let steps = (0..<5_000).map { _ in generator.cachelessStep() }
        let identification = DriverModelTests.identification(seed % 3)
        guard let failure = try Self.run(steps, identification) else { return }
        let shortest = try Self.shrink(Array(steps[...min(failure.index, steps.count - 1)]), identification)
        let text = try Self.run(shortest, identification)?.text ?? failure.text
        let listing = shortest.suffix(40).map { "\($0)" }.joined(separator: "\n")
        Issue.record("seed \(seed) step \(failure.index): \(text)\n\(listing)")
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
