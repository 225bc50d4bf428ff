import IOMMU

/// The kinds of changes; their numbers never change.
enum ChangeKind: UInt8 {
    case allocateIOAS = 1
    case map, unmap, copy, allowIOVAs, setHugePages, bind, unbind, attach, replace, detach, allocateHWPT
    case setDirtyTracking, allocateFaultQueue, allocateVIOMMU, allocateVDevice, allocateVEventQueue, destroy
    case addMemory, closeMemory, createMM, openMM, mapMM, unmapMM, exitMM, closeMM, bindSVA, unbindSVA
    case openQueue, startQueue, stopQueue, closeQueue
    case hwpt, nestedHWPT, viommu, removedDevice, tombstones, goneBond
    case openIOMMUFD, exportDevice, exportContext
}

extension RecordBuffer {
    private func begin(_ kind: ChangeKind) { put(byte: kind.rawValue) }

    private func put(_ kind: ChangeKind, _ numbers: UInt64...) {
        begin(kind)
        for number in numbers { put(number) }
    }

    private func put(_ kind: ChangeKind, ids: ObjectID...) {
        begin(kind)
        for id in ids { put(id) }
    }

    func put(_ change: Change) {
        switch change {
        case .allocateIOAS: begin(.allocateIOAS)
        case .map(let ioas, let mappings):
            put(.map, ids: ioas)
            put(mappings)
        case .unmap(let ioas, let iova, let length): put(.unmap, UInt64(ioas), iova, length)
        case .copy(let from, let iova, let length, let to, let target, let access):
            put(.copy, UInt64(from), iova, length, UInt64(to), target, UInt64(access.rawValue))
        case .allowIOVAs(let ioas, let ranges):
            put(.allowIOVAs, UInt64(ioas), UInt64(ranges.count))
            for range in ranges {
                put(range.start)
                put(range.last)
            }
        case .setHugePages(let ioas, let on): put(.setHugePages, UInt64(ioas), on ? 1 : 0)
        case .destroy(let id): put(.destroy, ids: id)
        default: putTables(change)
        }
    }

    private func putTables(_ change: Change) {
        switch change {
        case .bind(let name):
            begin(.bind)
            put(name)
        case .unbind(let device): put(.unbind, ids: device)
        case .attach(let device, let pt, let pasid):
            put(.attach, ids: device, pt)
            put(pasid)
        case .replace(let device, let pt, let pasid):
            put(.replace, ids: device, pt)
            put(pasid)
        case .detach(let device, let pasid):
            put(.detach, ids: device)
            put(pasid)
        case .allocateHWPT(let device, let pt, let flags, let fault, let vste):
            put(.allocateHWPT, ids: device, pt, flags)
            put(fault)
            put(vste != nil)
            if let vste { put(vste) }
        case .setDirtyTracking(let hwpt, let on): put(.setDirtyTracking, UInt64(hwpt), on ? 1 : 0)
        case .allocateFaultQueue: begin(.allocateFaultQueue)
        case .allocateVIOMMU(let device, let hwpt, let type):
            put(.allocateVIOMMU, ids: device, hwpt)
            put(type)
        case .allocateVDevice(let viommu, let device, let virtualID):
            put(.allocateVDevice, UInt64(viommu), UInt64(device), virtualID)
        case .allocateVEventQueue(let viommu, let type, let depth):
            put(.allocateVEventQueue, ids: viommu, depth)
            put(type)
        default: putSpaces(change)
        }
    }

    private func putSpaces(_ change: Change) {
        switch change {
        case .addMemory(let facts):
            begin(.addMemory)
            put(facts)
        case .closeMemory(let id): put(.closeMemory, ids: id)
        case .createMM: begin(.createMM)
        case .openMM(let facts):
            begin(.openMM)
            put(facts)
        case .mapMM(let mm, let va, let mapping, let populate):
            put(.mapMM, UInt64(mm), va, populate ? 1 : 0)
            put([mapping])
        case .unmapMM(let mm, let va, let length): put(.unmapMM, UInt64(mm), va, length)
        case .exitMM(let mm): put(.exitMM, ids: mm)
        case .closeMM(let mm): put(.closeMM, ids: mm)
        case .bindSVA(let device, let mm, let times): put(.bindSVA, ids: device, mm, times)
        case .unbindSVA(let bond): put(.unbindSVA, ids: bond)
        case .openQueue(let device, let mm): put(.openQueue, ids: device, mm)
        case .startQueue(let queue): put(.startQueue, ids: queue)
        case .stopQueue(let queue): put(.stopQueue, ids: queue)
        case .closeQueue(let queue): put(.closeQueue, ids: queue)
        default: putState(change)
        }
    }

    private func putState(_ change: Change) {
        switch change {
        case .hwpt(let smmu, let ioas, let flags, let fault, let isAutomatic):
            put(.hwpt, ids: ioas, flags)
            put(smmu)
            put(fault)
            put(isAutomatic)
        case .nestedHWPT(let viommu, let fault, let vste):
            put(.nestedHWPT, ids: viommu)
            put(fault)
            put(vste)
        case .viommu(let hwpt): put(.viommu, ids: hwpt)
        case .removedDevice(let description, let group):
            put(.removedDevice, ids: group)
            put(description)
        case .tombstones(let ids):
            put(.tombstones, UInt64(ids.count))
            for id in ids { put(id) }
        case .goneBond(let device, let mm, let pasid, let asid, let queues):
            put(.goneBond, ids: mm, pasid, asid, queues)
            put(device)
        case .openIOMMUFD: begin(.openIOMMUFD)
        case .exportDevice(let device): put(.exportDevice, ids: device)
        case .exportContext(let names):
            put(.exportContext, UInt64(names.count))
            for name in names { put(name) }
        default: preconditionFailure("every change has been written")
        }
    }

    // MARK: Parts

    private func put(_ pair: WordPair) {
        put(pair.first)
        put(pair.second)
    }

    private func put(_ facts: KeptMemory) {
        put(facts.name)
        put(facts.size)
        put(facts.isCreated)
        put(facts.isHuge)
        put(facts.file)
    }

    private func put(_ facts: KeptProcess) {
        put(facts.space)
        put(facts.pid.map { UInt32(bitPattern: $0) })
        for word in [facts.vdso, facts.stackEnd, UInt64(bitPattern: facts.seed), facts.device, facts.inode] {
            put(word)
        }
        put(facts.isWritable)
        put(facts.hasQuery)
        put(facts.file)
    }

    func put(_ description: DeviceDescription) {
        put(description.name)
        put(description.smmu)
        put(UInt64(description.streamIDs.count))
        for id in description.streamIDs { put(id) }
        put(description.group)
        put(description.driver)
        put(UInt64(description.pasidBits))
        for flag in [description.stall, description.pri, description.ats, description.coherent] { put(flag) }
        put(UInt64(description.reserved.count))
        for region in description.reserved {
            put(region.range.start)
            put(region.range.last)
            put(region.kind.rawValue)
        }
        put(UInt64(description.queues))
        put(UInt64(description.algorithms.count))
        for name in description.algorithms { put(name) }
        put(description.bus.rawValue)
    }
}
