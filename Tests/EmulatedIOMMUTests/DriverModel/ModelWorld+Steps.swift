import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// Each step done to the driver and to the model. What is returned says what is wrong; nil: nothing.
extension ModelWorld {
    func flush(_ model: Model) {
        model.domain.flush()
        model.pending = []
    }

    func map(
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

    func attach(_ device: Int, _ pasid: Int, _ domain: Int, _ memory: Int?) -> String? {
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

    func dma(_ device: Int, _ pasid: Int, _ address: UInt64, _ write: Bool) -> String? {
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

    func recycle(_ index: Int) throws -> String? {
        let model = models[index]
        guard model.domain.userCount == 0 else { return nil }
        bench.driver.destroy(model.domain)
        models[index] = Model(try Self.makeDomain(bench, index))
        return nil
    }

    func readDirty(_ model: Model, _ index: Int, _ clear: Bool) throws -> String? {
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
