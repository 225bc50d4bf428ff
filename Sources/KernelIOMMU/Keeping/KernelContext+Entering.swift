import IOMMU
import IOMMUObjects
import LinuxIO

/// Enters in the books what the kernel has done for an earlier daemon.
extension KernelContext: LivingState {
    // MARK: Descriptors

    /// ``LivingState/open()``
    package func open() throws(IOMMUError) -> Int32 {
        keepsIOMMUFD = true
        return try handle().file.number
    }

    /// Of a device, or of a queue.
    package func descriptor(of object: ObjectID) -> Int32? {
        switch table[object] {
        case let device as KernelDevice: device.bound.descriptor
        case let queue as KernelFaultQueue: queue.descriptor?.number
        case let queue as KernelVEventQueue: queue.descriptor?.number
        default: nil
        }
    }

    /// `ENOENT`, `EBUSY`
    package func checkDestroy(_ object: ObjectID) throws(IOMMUError) { try destroyable(object) }

    /// `ENOENT`; `EBUSY` for one that has been handed out, unless by force.
    package func checkUnbind(_ device: ObjectID, force: Bool) throws(IOMMUError) {
        if force { _ = try table.object(device, .device, as: KernelDevice.self) } else { _ = try unbindable(device) }
    }

    /// Everything stays as it is, with whoever has the descriptors.
    package func leave() {
        for object in table.all {
            (object as? KernelDevice)?.bound.leave()
            (object as? KernelFaultQueue)?.descriptor = nil
            (object as? KernelVEventQueue)?.descriptor = nil
        }
        takeHandle()?.file.end()
        forgetAll()
    }

    // MARK: Changes

    /// What the change is given, of one kind.
    private func given(_ kind: Ledger.Kind) throws(IOMMUError) -> ObjectID {
        guard let value = ledger.next(kind), let id = ObjectID(exactly: value) else { throw Self.lost("an id") }
        return id
    }

    /// Takes room for an object that is there, and puts it in the table.
    private func entered(_ object: KernelObject, descriptors: UInt64 = 0) throws(IOMMUError) {
        try store.chargeObject(descriptors: descriptors)
        table.insert(object)
    }

    /// ``LivingState/enter(_:give:)``
    package func enter(_ change: Change, give: (UInt64) -> Descriptor?) throws(IOMMUError) {
        if case .openIOMMUFD = change {
            let file = ledger.next(.file) ?? 0
            guard let descriptor = give(file) else {
                isLost = true
                throw Self.lost("the iommufd")
            }
            keepsIOMMUFD = true
            return try reopen(descriptor)
        }
        guard !isLost else { throw Self.lost("what was in the iommufd") }
        switch change {
        case .allocateIOAS: try entered(KernelIOAS(id: try given(.object)))
        case .map(let ioas, let mappings): try enter(mappings, in: try self.ioas(ioas))
        case .unmap(let ioas, let iova, let length): forget(try extent(ioas: ioas, iova: iova, length: length))
        case .copy(let from, let iova, let length, let to, let target, let access):
            try enterCopy(from: try ioas(from), iova, length, to: try ioas(to), at: target, access)
        case .setHugePages(let ioas, let on): try self.ioas(ioas).usesHugePages = on
        case .allowIOVAs: break
        case .destroy(let id): forget(try destroyable(id))
        default: try enterTables(change, give)
        }
    }

    private func enter(_ mappings: [KeptMapping], in ioas: KernelIOAS) throws(IOMMUError) {
        for mapping in mappings {
            guard mapping.length > 0, store.memories[mapping.memory] != nil else { throw Self.lost("a mapping") }
            try store.chargeMappings(1, bytes: mapping.length)
            enter(
                Area(
                    start: mapping.iova, last: mapping.iova &+ (mapping.length - 1), offset: mapping.offset,
                    memory: mapping.memory, access: mapping.access, isSourceWritable: mapping.isSourceWritable),
                in: ioas)
        }
    }

    private func enterCopy(
        from: KernelIOAS, _ iova: UInt64, _ length: UInt64, to: KernelIOAS, at target: UInt64, _ access: Access
    ) throws(IOMMUError) {
        guard length > 0, let pieces = from.areas.pieces(start: iova, last: iova &+ (length - 1)) else {
            throw Self.lost("a copy")
        }
        try store.chargeMappings(pieces.count, bytes: length)
        enter(pieces, at: target, in: to, access: access)
    }

    private func enterTables(_ change: Change, _ give: (UInt64) -> Descriptor?) throws(IOMMUError) {
        switch change {
        case .bind(let name): try enterDevice(name, give)
        case .unbind(let device): forget(try table.object(device, .device, as: KernelDevice.self))
        case .attach(let device, let pt, let pasid), .replace(let device, let pt, let pasid):
            try enterAttachment(device, pt, pasid)
        case .detach(let device, let pasid):
            leave(try table.object(device, .device, as: KernelDevice.self), key: pasid ?? KernelDevice.ridKey)
        case .setDirtyTracking(let hwpt, let on): try table.object(hwpt, .hwpt, as: KernelHWPT.self).isTracking = on
        case .exportDevice(let device): try table.object(device, .device, as: KernelDevice.self).isExported = true
        case .exportContext(let names):
            for name in names { backend.holdings.take(machineDevice(named: name), by: self) }
            (delegatedDevices, isDelegated) = (names, true)
        case .tombstones(let ids):
            for id in ids {
                try charge()
                tombstones.append(id)
            }
        default: try enterGuests(change, give)
        }
    }

    private func enterGuests(_ change: Change, _ give: (UInt64) -> Descriptor?) throws(IOMMUError) {
        switch change {
        case .allocateHWPT(_, let pt, let flags, let fault, let vste):
            try enterHWPT(over: pt, HWPTFlags(rawValue: flags), fault, vste, isAutomatic: false)
        case .hwpt(_, let ioas, let flags, let fault, let isAutomatic):
            try enterHWPT(over: ioas, HWPTFlags(rawValue: flags), fault, nil, isAutomatic: isAutomatic)
        case .nestedHWPT(let viommu, let fault, let vste):
            try enterHWPT(over: viommu, [], fault, vste, isAutomatic: false)
        case .allocateVIOMMU(_, let hwpt, _), .viommu(let hwpt):
            let parent = try table.object(hwpt, .hwpt, as: KernelHWPT.self)
            try entered(KernelVIOMMU(id: try given(.object), hwpt: parent))
        case .allocateVDevice(let viommu, let device, let virtualID):
            let owner = try table.object(viommu, .viommu, as: KernelVIOMMU.self)
            let device = try table.object(device, .device, as: KernelDevice.self)
            try entered(
                KernelVDevice(id: try given(.object), viommu: owner, device: device, virtualID: virtualID))
        case .allocateFaultQueue: try enterFaultQueue(give)
        case .allocateVEventQueue(let viommu, _, let depth):
            try enterEventQueue(try table.object(viommu, .viommu, as: KernelVIOMMU.self), depth, give)
        default: throw Self.lost("a change of another backend")
        }
    }

    // MARK: Tables

    private func enterHWPT(
        over pt: ObjectID, _ flags: HWPTFlags, _ fault: ObjectID?, _ vste: WordPair?, isAutomatic: Bool
    ) throws(IOMMUError) {
        var queue: KernelFaultQueue?
        if let fault { queue = try table.object(fault, .fault, as: KernelFaultQueue.self) }
        let base: KernelHWPT.Base
        if let vste {
            let viommu = try table.object(pt, .viommu, as: KernelVIOMMU.self)
            base = .viommu(viommu, ste: (vste.first, vste.second))
        } else {
            base = .ioas(try ioas(pt))
        }
        try entered(
            KernelHWPT(
                id: try given(.object), base: base, flags: flags, isAutomatic: isAutomatic, faultQueue: queue))
    }

    private func enterAttachment(_ id: ObjectID, _ pt: ObjectID, _ pasid: UInt32?) throws(IOMMUError) {
        let device = try table.object(id, .device, as: KernelDevice.self)
        let target = try target(pt, for: device)
        let hwpt = try given(.object)
        try charge()
        _ = entered(hwpt, target, device, key: pasid ?? KernelDevice.ridKey)
    }
}
