import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

/// A plain model: a sorted array.
private struct PlainAreas {
    var areas: [Area] = []

    func overlap(_ area: Area) -> Bool { areas.contains { $0.start <= area.last && area.start <= $0.last } }

    mutating func insert(_ area: Area) {
        areas.insert(area, at: areas.firstIndex { $0.start > area.start } ?? areas.count)
    }

    func hole(start: UInt64, last: UInt64, length: UInt64, alignment: Alignment) -> UInt64? {
        var candidates = [start]
        candidates += areas.map(\.last).filter { $0 < .max }.map { $0 + 1 }.filter { $0 > start }
        for candidate in candidates.compactMap({ alignment.roundUp($0) }).sorted() {
            let (end, overflow) = candidate.addingReportingOverflow(length - 1)
            guard !overflow, end <= last else { continue }
            if !overlap(Area(start: candidate, last: end, offset: 0, memory: 1, access: .read)) { return candidate }
        }
        return nil
    }
}

@Suite struct AreaMapTests {
    @Test func emptyMapHasOneHole() {
        let map = AreaMap()
        #expect(map.area(containing: 0) == nil)
        #expect(map.first(endingAtOrAfter: 0) == nil)
        let page = Alignment(modulus: 4096, residue: 0)
        #expect(map.firstHole(start: 1, last: .max, length: 4096, alignment: page) == 4096)
        #expect(map.firstHole(start: 1, last: 8190, length: 4096, alignment: page) == nil)
    }

    @Test func theLastAddressCanBeHeld() {
        let map = AreaMap()
        #expect(map.insert(Area(start: .max - 4095, last: .max, offset: 0, memory: 1, access: .read)) == nil)
        #expect(map.area(containing: .max)?.start == UInt64.max - 4095)
        #expect(map.insert(Area(start: .max, last: .max, offset: 0, memory: 1, access: .read)) != nil)
        let hole = map.firstHole(
            start: .max - 8191, last: .max, length: 8192, alignment: Alignment(modulus: 1, residue: 0))
        #expect(hole == nil)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func agreesWithAPlainModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let map = AreaMap()
        var model = PlainAreas()
        // Narrow spaces collide often; wide ones build several levels.
        let space: UInt64 = seed.isMultiple(of: 2) ? 1 << 16 : 1 << 40
        for step in 0..<6000 {
            let isGrowing = (step / 1500).isMultiple(of: 2)
            if random.next(below: 10) < (isGrowing ? 7 : 3) {
                let start = random.next(below: space)
                let length = 1 + random.next(below: space >> 12)
                let area = Area(
                    start: start, last: start + length - 1, offset: UInt64(step), memory: 7, access: [.read, .write])
                let refused = map.insert(area)
                #expect((refused != nil) == model.overlap(area))
                if refused == nil { model.insert(area) }
            } else if let victim = model.areas.randomElement(using: &random) {
                #expect(map.remove(start: victim.start) == victim)
                #expect(map.remove(start: victim.start) == nil)
                model.areas.removeAll { $0.start == victim.start }
            }
            let address = random.next(below: space)
            let expected = model.areas.first { $0.start <= address && address <= $0.last }
            #expect(map.area(containing: address) == expected)
            if step.isMultiple(of: 16) { compareHoles(map, model, space, &random) }
            if step.isMultiple(of: 500) { compareAll(map, model) }
        }
        compareAll(map, model)
        for area in model.areas { #expect(map.remove(start: area.start) == area) }
        #expect(map.isEmpty && map.first(endingAtOrAfter: 0) == nil)
    }

    /// What comes right after the last area that went in takes a way of its own.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func agreesWithAPlainModelInAscendingRuns(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let map = AreaMap()
        var model = PlainAreas()
        let space: UInt64 = 1 << 24
        for run in 0..<30 {
            var start = random.next(below: space)
            for _ in 0..<random.next(below: 120) {
                let last = start + random.next(below: 64)
                let area = Area(start: start, last: last, offset: start, memory: 7, access: [.read])
                let refused = map.insert(area)
                #expect((refused != nil) == model.overlap(area))
                if refused == nil { model.insert(area) }
                if random.next(below: 12) == 0, let victim = model.areas.randomElement(using: &random) {
                    #expect(map.remove(start: victim.start) == victim)
                    model.areas.removeAll { $0.start == victim.start }
                }
                if random.next(below: 12) == 0 { compareHoles(map, model, space, &random) }
                // Mostly without a gap, sometimes with the widest one so far, sometimes backwards.
                let step = random.next(below: 16)
                start = step == 0 ? start / 2 : last + 1 + (step < 4 ? random.next(below: 1 << (3 * step)) : 0)
            }
            if run.isMultiple(of: 10) { compareAll(map, model) }
        }
        compareAll(map, model)
        for area in model.areas { #expect(map.remove(start: area.start) == area) }
        #expect(map.isEmpty)
    }

    private func compareHoles(_ map: AreaMap, _ model: PlainAreas, _ space: UInt64, _ random: inout SeededGenerator) {
        let modulus: UInt64 = 1 << random.next(below: 10)
        let alignment = Alignment(modulus: modulus, residue: random.next(below: modulus))
        let length = 1 + random.next(below: space >> 10)
        let start = random.next(below: space)
        let last = start + random.next(below: space - start)
        let found = map.firstHole(start: start, last: last, length: length, alignment: alignment)
        #expect(found == model.hole(start: start, last: last, length: length, alignment: alignment))
    }

    private func compareAll(_ map: AreaMap, _ model: PlainAreas) {
        #expect(map.count == model.areas.count)
        var listed: [Area] = []
        var position = map.first(endingAtOrAfter: 0)
        while let current = position {
            listed.append(current.area)
            position = current.next
        }
        #expect(listed == model.areas)
    }

    @Test func ascendingAreasAndTheirRemovalFromTheFront() {
        let map = AreaMap()
        for index in 0..<100_000 as Range<UInt64> {
            #expect(
                map.insert(Area(start: index * 8192, last: index * 8192 + 4095, offset: 0, memory: 1, access: .read))
                    == nil)
        }
        let page = Alignment(modulus: 4096, residue: 0)
        #expect(map.firstHole(start: 0, last: .max, length: 8192, alignment: page) == 99_999 * 8192 + 4096)
        for index in 0..<100_000 as Range<UInt64> { #expect(map.remove(start: index * 8192) != nil) }
        #expect(map.isEmpty && map.root == nil)
    }
}
