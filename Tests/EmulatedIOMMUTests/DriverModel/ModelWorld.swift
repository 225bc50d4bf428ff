import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// The driver with its SMMU, and what must be true of them.
final class ModelWorld {
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
    var hits = 0

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
    func apply(_ step: ModelStep) throws -> String? {
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
}
