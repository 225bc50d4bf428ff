import IOMMU

extension RecordReader {
    mutating func change() throws(Nonsense) -> Change {
        guard let kind = ChangeKind(rawValue: try byte()) else { throw Nonsense() }
        switch kind {
        case .allocateIOAS: return .allocateIOAS
        case .map: return .map(ioas: try word(), try mappings())
        case .unmap: return .unmap(ioas: try word(), iova: try number(), length: try number())
        case .copy:
            return .copy(
                from: try word(), iova: try number(), length: try number(), to: try word(), target: try number(),
                access: try access())
        case .allowIOVAs: return .allowIOVAs(ioas: try word(), try ranges())
        case .setHugePages: return .setHugePages(ioas: try word(), try flag())
        case .destroy: return .destroy(try word())
        default: return try tables(kind)
        }
    }

    private mutating func tables(_ kind: ChangeKind) throws(Nonsense) -> Change {
        switch kind {
        case .bind: return .bind(name: try text())
        case .unbind: return .unbind(device: try word())
        case .attach: return .attach(device: try word(), pt: try word(), pasid: try optionalWord())
        case .replace: return .replace(device: try word(), pt: try word(), pasid: try optionalWord())
        case .detach: return .detach(device: try word(), pasid: try optionalWord())
        case .allocateHWPT:
            return .allocateHWPT(
                device: try word(), pt: try word(), flags: try word(), fault: try optionalWord(),
                vste: try flag() ? try pair() : nil)
        case .setDirtyTracking: return .setDirtyTracking(hwpt: try word(), try flag())
        case .allocateFaultQueue: return .allocateFaultQueue
        case .allocateVIOMMU: return .allocateVIOMMU(device: try word(), hwpt: try word(), type: try text())
        case .allocateVDevice:
            return .allocateVDevice(viommu: try word(), device: try word(), virtualID: try number())
        case .allocateVEventQueue:
            let (viommu, depth) = (try word(), try word())
            return .allocateVEventQueue(viommu: viommu, type: try text(), depth: depth)
        default: return try spaces(kind)
        }
    }

    private mutating func spaces(_ kind: ChangeKind) throws(Nonsense) -> Change {
        switch kind {
        case .addMemory: return .addMemory(try memory())
        case .closeMemory: return .closeMemory(try word())
        case .createMM: return .createMM
        case .openMM: return .openMM(try process())
        case .mapMM:
            let (mm, va, populate) = (try word(), try number(), try flag())
            guard let mapping = try mappings().first else { throw Nonsense() }
            return .mapMM(mm: mm, va: va, mapping, populate: populate)
        case .unmapMM: return .unmapMM(mm: try word(), va: try number(), length: try number())
        case .exitMM: return .exitMM(try word())
        case .closeMM: return .closeMM(try word())
        case .bindSVA: return .bindSVA(device: try word(), mm: try word(), times: try word())
        case .unbindSVA: return .unbindSVA(bond: try word())
        case .openQueue: return .openQueue(device: try word(), mm: try word())
        case .startQueue: return .startQueue(try word())
        case .stopQueue: return .stopQueue(try word())
        case .closeQueue: return .closeQueue(try word())
        default: return try state(kind)
        }
    }

    private mutating func state(_ kind: ChangeKind) throws(Nonsense) -> Change {
        switch kind {
        case .hwpt:
            let (ioas, flags) = (try word(), try word())
            return .hwpt(
                smmu: try text(), ioas: ioas, flags: flags, fault: try optionalWord(), isAutomatic: try flag())
        case .nestedHWPT: return .nestedHWPT(viommu: try word(), fault: try optionalWord(), vste: try pair())
        case .viommu: return .viommu(hwpt: try word())
        case .removedDevice:
            let group = try word()
            return .removedDevice(try deviceDescription(), group: group)
        case .tombstones:
            var ids: [ObjectID] = []
            for _ in 0..<(try count()) { ids.append(try word()) }
            return .tombstones(ids)
        case .goneBond:
            let (mm, pasid, asid, queues) = (try word(), try word(), try word(), try word())
            return .goneBond(device: try text(), mm: mm, pasid: pasid, asid: asid, queues: queues)
        case .openIOMMUFD: return .openIOMMUFD
        case .exportDevice: return .exportDevice(try word())
        case .exportContext:
            var names: [String] = []
            for _ in 0..<(try count()) { names.append(try text()) }
            return .exportContext(names)
        default: throw Nonsense()
        }
    }

    // MARK: Parts

    private mutating func pair() throws(Nonsense) -> WordPair { WordPair(try number(), try number()) }

    private mutating func access() throws(Nonsense) -> Access {
        let value = try byte()
        guard value <= 3 else { throw Nonsense() }
        return Access(rawValue: value)
    }

    private mutating func ranges() throws(Nonsense) -> [AddressRange] {
        var ranges: [AddressRange] = []
        for _ in 0..<(try count(ofBytes: 2)) { ranges.append(try range()) }
        return ranges
    }

    private mutating func range() throws(Nonsense) -> AddressRange {
        guard let range = AddressRange(start: try number(), last: try number()) else { throw Nonsense() }
        return range
    }

    private mutating func memory() throws(Nonsense) -> KeptMemory {
        KeptMemory(
            name: try optionalText(), size: try number(), isCreated: try flag(), isHuge: try flag(),
            file: try number())
    }

    private mutating func process() throws(Nonsense) -> KeptProcess {
        let (space, pid) = (try number(), try optionalWord())
        let (vdso, stackEnd, seed) = (try number(), try number(), try number())
        var facts = KeptProcess(
            space: space, pid: pid.map { Int32(bitPattern: $0) }, vdso: vdso, stackEnd: stackEnd,
            seed: Int64(bitPattern: seed), device: try number(), inode: try number(), isWritable: try flag(),
            hasQuery: try flag())
        facts.file = try number()
        return facts
    }

    mutating func deviceDescription() throws(Nonsense) -> DeviceDescription {
        let (name, smmu) = (try text(), try text())
        var streamIDs: [UInt32] = []
        for _ in 0..<(try count()) { streamIDs.append(try word()) }
        var description = DeviceDescription(name: name, smmu: smmu, streamIDs: streamIDs)
        description.group = try optionalText()
        description.driver = try optionalText()
        description.pasidBits = Int(try word() & 0xff)
        (description.stall, description.pri) = (try flag(), try flag())
        (description.ats, description.coherent) = (try flag(), try flag())
        for _ in 0..<(try count(ofBytes: 3)) {
            let range = try range()
            guard let kind = ReservedRegion.Kind(rawValue: try text()) else { throw Nonsense() }
            description.reserved.append(ReservedRegion(range: range, kind: kind))
        }
        description.queues = Int(try word())
        for _ in 0..<(try count()) { description.algorithms.append(try text()) }
        guard let bus = DeviceBus(rawValue: try text()) else { throw Nonsense() }
        description.bus = bus
        return description
    }
}
