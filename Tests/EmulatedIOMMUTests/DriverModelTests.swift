import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// Random maps, unmaps, attachments and DMA against plain dictionaries, on an SMMU that forgets nothing by itself: a
/// missing invalidation shows as a stale answer.
@Suite struct DriverModelTests {
    enum Step: Sendable {
        case map(domain: Int, place: Int, size: Int, frame: Int, writable: Bool, huge: Bool, memory: Int?)
        case unmap(domain: Int, index: Int, flush: Bool)
        case attach(device: Int, pasid: Int, domain: Int, memory: Int?)
        case dma(device: Int, pasid: Int, place: Int, page: Int, write: Bool)
        /// Where something is mapped, or was a moment ago.
        case dmaNear(device: Int, pasid: Int, index: Int, offset: Int, write: Bool)
        /// A new domain in the place of an unused one; its tag is the old one's again.
        case recycle(domain: Int)
        case moveASID(domain: Int)
        case track(domain: Int)
        case readDirty(domain: Int, index: Int, clear: Bool)
    }

    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
        mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

        mutating func step() -> Step {
            switch below(100) {
            case 0..<18:
                .map(
                    domain: below(World.domainCount), place: below(64), size: below(6), frame: below(1 << 20),
                    writable: below(3) > 0, huge: below(4) > 0, memory: below(20) == 0 ? below(4) : nil
                )
            case 18..<32: .unmap(domain: below(World.domainCount), index: below(16), flush: below(3) > 0)
            case 32..<42:
                .attach(
                    device: below(World.deviceCount), pasid: below(4), domain: below(World.domainCount + 2),
                    memory: below(20) == 0 ? below(3) : nil
                )
            case 42..<44: .recycle(domain: below(World.domainCount))
            case 44..<45: .moveASID(domain: below(World.domainCount))
            case 45..<46: .track(domain: below(World.domainCount))
            case 46..<49: .readDirty(domain: below(World.domainCount), index: below(16), clear: below(2) == 0)
            case 49..<90:
                .dmaNear(
                    device: below(World.deviceCount), pasid: below(5) == 0 ? below(4) : 0, index: below(24),
                    offset: below(1 << 18), write: below(2) == 0
                )
            default:
                .dma(
                    device: below(World.deviceCount), pasid: below(4), place: below(64), page: below(4),
                    write: below(2) == 0
                )
            }
        }
    }

    /// The driver with its SMMU, and what must be true of them.
    final class World {
        static let domainCount = 6
        static let deviceCount = 4

        struct Mapping {
            let iova: UInt64
            let length: UInt64
            let pa: UInt64
            let writable: Bool
        }

        final class Model {
            var domain: PagingDomain
            var mappings: [Mapping] = []
            var dirtyLeaves: Set<UInt64> = []
            /// Unmapped, but not flushed: the old answer is still allowed.
            var pending: [Mapping] = []
            /// What was unmapped last.
            var gone: [Mapping] = []
            init(_ domain: PagingDomain) { self.domain = domain }
        }

        let bench: DriverTestBench
        var models: [Model] = []
        var devices: [Master] = []
        /// By device and PASID (0: the device itself): the index of a model.
        var attached: [[Int: Int]]
        /// DMA that got through: a run without any would prove nothing.
        private(set) var hits = 0

        init(_ identification: Identification) throws {
            bench = try DriverTestBench(identification, geometry: .neverEvicting)
            attached = Array(repeating: [:], count: Self.deviceCount)
            for index in 0..<Self.domainCount { models.append(Model(try Self.makeDomain(bench, index))) }
            devices = [
                try bench.master(0x100, pasidBits: 10), try bench.master(0x101),
                try bench.master(0x205, pasidBits: 16, ats: true), try bench.master(0x300, stall: true),
            ]
        }

        static func makeDomain(_ bench: DriverTestBench, _ index: Int) throws -> PagingDomain {
            switch index {
            case 0, 1: try bench.driver.makePagingDomain(.stage1, dirtyTracking: index == 0, pasid: true)
            case 2, 3: try bench.driver.makePagingDomain(.stage1, dirtyTracking: index == 2, pasid: index == 2)
            case 4: try bench.driver.makePagingDomain(.stage2, dirtyTracking: false, pasid: false)
            default: try bench.driver.makePagingDomain(.nestParent, dirtyTracking: false, pasid: false)
            }
        }

        /// 64 places: neighbouring pages, 2 MiB slots, gigabyte slots.
        static func address(_ place: Int) -> UInt64 {
            switch place {
            case 0..<24: 0x20_0000 + UInt64(place) << 12
            case 24..<48: 0x40_0000 + UInt64(place - 24) << 20
            default: 0x4000_0000 + UInt64(place - 48) << 29
            }
        }

        static let sizes: [UInt64] = [0x1000, 0x2000, 0x8000, 0x20_0000, 0x40_3000, 0x4000_0000]

        func audit() -> String? {
            for model in models {
                if let text = model.domain.table.audit() { return text }
            }
            return nil
        }

        /// - Returns: what is wrong, or nil.
        func apply(_ step: Step) throws -> String? {
            switch step {
            case .map(let domain, let place, let size, let frame, let writable, let huge, let memory):
                return map(models[domain], place, size, frame, writable, huge, memory)
            case .unmap(let domain, let index, let flush):
                let model = models[domain]
                guard !model.mappings.isEmpty else { return nil }
                let mapping = model.mappings.remove(at: index % model.mappings.count)
                model.domain.unmap(iova: mapping.iova, length: mapping.length)
                model.dirtyLeaves = model.dirtyLeaves.filter {
                    $0 < mapping.iova || $0 >= mapping.iova + mapping.length
                }
                model.pending.append(mapping)
                model.gone = model.gone.suffix(7) + [mapping]
                if flush { self.flush(model) }
                return nil
            case .attach(let device, let pasid, let domain, let memory): return attach(device, pasid, domain, memory)
            case .dma(let device, let pasid, let place, let page, let write):
                return dma(device, pasid, Self.address(place) + UInt64(page) << 12 + 0x123, write)
            case .dmaNear(let device, let pasid, let index, let offset, let write):
                guard let model = attached[device][pasid].map({ models[$0] }) else { return nil }
                let candidates = model.mappings + model.gone
                guard !candidates.isEmpty else { return nil }
                let mapping = candidates[index % candidates.count]
                return dma(device, pasid, mapping.iova + UInt64(offset) << 12 % mapping.length + 0x45, write)
            case .recycle(let domain): return try recycle(domain)
            case .moveASID(let domain):
                guard let asid = models[domain].domain.asid else { return nil }
                flush(models[domain])
                try bench.driver.claimASID(asid)
                bench.driver.unclaimASID(asid)
                return models[domain].domain.asid == asid ? "the ASID did not move" : nil
            case .track(let domain):
                let model = models[domain]
                guard model.domain.hasDirtyTracking else { return nil }
                flush(model)
                let on = !model.domain.isTrackingDirty
                try model.domain.setDirtyTracking(on)
                if on { model.dirtyLeaves = [] }
                return nil
            case .readDirty(let domain, let index, let clear): return try readDirty(models[domain], index, clear)
            }
        }

        private func flush(_ model: Model) {
            model.domain.flush()
            model.pending = []
        }

        private func map(
            _ model: Model, _ place: Int, _ size: Int, _ frame: Int, _ writable: Bool, _ huge: Bool, _ memory: Int?
        ) -> String? {
            let (iova, length) = (Self.address(place), Self.sizes[size])
            // A third of the frames are as aligned as the address, so that blocks are possible.
            let frames = UInt64(frame) << 12
            let base: UInt64 = 0x100_0000_0000
            let pa = frame % 3 == 0 ? base + (frames >> 30) << 30 + iova : base + frames
            let overlaps = model.mappings.contains { $0.iova < iova + length && iova < $0.iova + $0.length }
            // Small pages of a gigabyte would only cost time.
            if !huge || (iova ^ pa) & 0x1f_ffff != 0, length > 0x40_3000 { return nil }
            // Reused before it was invalidated: that is a client's mistake, which the object model prevents.
            flush(model)
            bench.pages.failsAfter = memory
            defer { bench.pages.failsAfter = nil }
            do {
                let access: IOMMU.Access = writable ? [.read, .write] : .read
                try model.domain.map(iova: iova, pa: pa, length: length, access: access, hugePages: huge)
            } catch {
                if error.errno == .EEXIST { return overlaps ? nil : "EEXIST without overlap" }
                return error.errno == .ENOMEM && memory != nil ? nil : "map: \(error)"
            }
            if overlaps { return "an overlap was mapped" }
            model.mappings.append(Mapping(iova: iova, length: length, pa: pa, writable: writable))
            return nil
        }

        private func attach(_ device: Int, _ pasid: Int, _ domain: Int, _ memory: Int?) -> String? {
            let master = devices[device]
            let number = pasid == 0 ? nil : UInt32(pasid * 300)
            let target: AttachTarget =
                domain < models.count ? .paging(models[domain].domain, faults: false) : .blocked
            bench.pages.failsAfter = memory
            defer { bench.pages.failsAfter = nil }
            do {
                bench.driver.commit(try bench.driver.prepare(master, pasid: number, target: target))
            } catch {
                let isStage2 = domain < models.count && models[domain].domain.stage == 2
                let onStage2 = attached[device][0].map { models[$0].domain.stage == 2 } ?? false
                let isPASIDless = pasid != 0 && (domain < models.count && !models[domain].domain.allowsPASID)
                let expected =
                    memory != nil || (pasid != 0 && (master.pasidBits == 0 || onStage2 || isStage2 || isPASIDless))
                    || (isStage2 && attached[device].keys.contains { $0 != 0 })
                return expected ? nil : "attach: \(error)"
            }
            attached[device][pasid] = domain < models.count ? domain : nil
            return nil
        }

        private func dma(_ device: Int, _ pasid: Int, _ address: UInt64, _ write: Bool) -> String? {
            let master = devices[device]
            let number = pasid == 0 ? nil : UInt32(pasid * 300)
            let found = bench.output(master, address, pasid: number, write ? .write : .read)
            bench.driver.service()
            bench.events.events.removeAll(keepingCapacity: true)
            bench.events.masters.removeAll(keepingCapacity: true)
            guard let index = attached[device][pasid] else {
                guard let found else { return nil }
                return "device \(device) pasid \(pasid) is detached but reads \(found)"
            }
            let model = models[index]
            func output(_ mapping: Mapping) -> UInt64? {
                guard mapping.iova <= address, address < mapping.iova + mapping.length else { return nil }
                guard mapping.writable || !write else { return nil }
                return mapping.pa + (address - mapping.iova)
            }
            let expected = model.mappings.compactMap(output).first
            let isStale = model.pending.contains { output($0) == found } && found != nil
            guard found == expected || isStale else {
                return "device \(device) pasid \(pasid) at \(String(address, radix: 16)): \(String(describing: found)),"
                    + " not \(String(describing: expected))"
            }
            if found != nil { hits += 1 }
            if write, found != nil, !isStale, model.domain.isTrackingDirty,
                let leaf = model.domain.table.lookup(address)
            {
                model.dirtyLeaves.insert(address & ~(leaf.pageSize - 1))
            }
            return nil
        }

        private func recycle(_ index: Int) throws -> String? {
            let model = models[index]
            guard model.domain.userCount == 0 else { return nil }
            bench.driver.destroy(model.domain)
            models[index] = Model(try Self.makeDomain(bench, index))
            return nil
        }

        private func readDirty(_ model: Model, _ index: Int, _ clear: Bool) throws -> String? {
            guard model.domain.isTrackingDirty, !model.mappings.isEmpty else { return nil }
            flush(model)
            let mapping = model.mappings[index % model.mappings.count]
            var bitmap = [UInt8](repeating: 0, count: Int((mapping.length >> 12 + 7) / 8))
            let count = try model.domain.readDirty(
                iova: mapping.iova, length: mapping.length, pageSize: 4096, clear: clear, into: &bitmap
            )
            var expected: UInt64 = 0
            for leaf in model.dirtyLeaves where leaf >= mapping.iova && leaf < mapping.iova + mapping.length {
                let pages = (model.domain.table.lookup(leaf)?.pageSize ?? 0) >> 12
                expected += pages
                for page in (leaf - mapping.iova) >> 12..<(leaf - mapping.iova) >> 12 + pages
                where bitmap[Int(page >> 3)] >> UInt8(page & 7) & 1 == 0 {
                    return "page \(page) of \(String(mapping.iova, radix: 16)) was written but is clean"
                }
            }
            if count != expected { return "\(count) dirty pages, not \(expected)" }
            if clear {
                model.dirtyLeaves = model.dirtyLeaves.filter {
                    $0 < mapping.iova || $0 >= mapping.iova + mapping.length
                }
            }
            return nil
        }
    }

    /// - Returns: the number of the step that failed, and how.
    static func run(_ steps: [Step], _ identification: Identification) throws -> (index: Int, text: String)? {
        let world = try World(identification)
        for (index, step) in steps.enumerated() {
            if let text = try world.apply(step) { return (index, text) }
            if index % 2048 == 2047, let text = world.audit() { return (index, text) }
        }
        if let text = world.audit() { return (steps.count, text) }
        if steps.count >= 10_000, world.hits < 400 { return (steps.count, "only \(world.hits) accesses got through") }
        return world.bench.driver.queue.errors == 0 ? nil : (steps.count, "commands were refused")
    }

    /// The shortest part of a failing run that still fails, found by leaving out ever smaller pieces.
    static func shrink(_ failing: [Step], _ identification: Identification) throws -> [Step] {
        var steps = failing
        var piece = max(steps.count / 2, 1)
        // Enough for a few dozen steps to be left; a machine under load is not kept busy for minutes.
        var budget = 300_000
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

    static func identification(_ kind: Int) -> Identification {
        var identification = Identification.laboratory
        // Without range invalidation; without BBML, so that splits break before they make.
        if kind == 1 { identification.IDR3 &= ~(1 << 10) }
        if kind == 2 { identification.IDR0 &= ~(1 << 19) }
        return identification
    }

    @Test(arguments: 0..<12) func staleTranslationsNeverShow(_ seed: Int) throws {
        var generator = Generator(state: 0x9e37_79b9_7f4a_7c15 &* UInt64(seed + 1))
        let steps = (0..<20_000).map { _ in generator.step() }
        let identification = Self.identification(seed % 3)
        guard let failure = try Self.run(steps, identification) else { return }
        let shortest = try Self.shrink(Array(steps[...min(failure.index, steps.count - 1)]), identification)
        let text = try Self.run(shortest, identification)?.text ?? failure.text
        let listing = shortest.suffix(60).map { "\($0)" }.joined(separator: "\n")
        Issue.record("seed \(seed) step \(failure.index): \(text)\n\(listing)")
    }

    /// The method itself: with one TLBI suppressed the model has to notice.
    @Test func aMissingInvalidationIsNoticed() throws {
        let world = try World(.laboratory)
        let map = Step.map(domain: 0, place: 0, size: 0, frame: 3, writable: true, huge: true, memory: nil)
        #expect(try world.apply(map) == nil)
        #expect(try world.apply(.attach(device: 0, pasid: 0, domain: 0, memory: nil)) == nil)
        #expect(try world.apply(.dma(device: 0, pasid: 0, place: 0, page: 0, write: false)) == nil)
        let model = world.models[0]
        model.domain.unmap(iova: World.address(0), length: 0x1000)
        model.mappings = []
        #expect(try world.apply(.dma(device: 0, pasid: 0, place: 0, page: 0, write: false)) != nil)
        model.domain.flush()
        #expect(try world.apply(.dma(device: 0, pasid: 0, place: 0, page: 0, write: false)) == nil)
    }
}
