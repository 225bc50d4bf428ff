import IOMMU
import LinuxIO

/// Making again what was there before a restart.
extension ObjectContext {
    /// Changes the bounds on what it can hold from now on.
    package func apply(_ limits: ContextLimits) { self.limits = limits }

    /// A memory object over a file that somebody has kept; without one over an empty one of the same size.
    ///
    /// - Throws: `EINVAL` for a file that is none, `EDQUOT`, `ENOMEM`, `EMFILE`.
    package func restoreMemory(
        _ facts: KeptMemory, _ file: consuming Descriptor?
    ) throws(IOMMUError) -> ObjectID {
        try chargeObject(descriptors: 1)
        do throws(IOMMUError) {
            if facts.isCreated { try account.charge(facts.size, of: .memoryBytes) }
            do throws(IOMMUError) {
                let object =
                    if let file {
                        try MemoryObject.importing(file, name: facts.name, payer: facts.isCreated ? nil : account)
                    } else {
                        try MemoryObject.creating(size: facts.size, name: facts.name, huge: false)
                    }
                guard object.size == facts.size else { throw .taken("the size of a memory object", object.size) }
                let location = try registry.host.admit(object, for: account)
                if facts.isCreated { createdMemories.insert(ObjectIdentifier(object)) }
                return enter(object, at: location)
            } catch {
                if facts.isCreated { account.release(facts.size, of: .memoryBytes) }
                throw error
            }
        } catch {
            releaseObject(descriptors: 1)
            throw error
        }
    }

    /// Mappings as they are entered in an IOAS, copies of copies included.
    package func restoreMappings(ioas id: ObjectID, _ mappings: [KeptMapping]) throws(IOMMUError) {
        let ioas = try ioas(id)
        let hwpts = ioas.hwpts
        for mapping in mappings {
            let isLent = mapping.memory & MapRequest.spaceFlag != 0
            let id = isLent ? try restoreLent(mapping) : mapping.memory
            defer { if isLent { memories.giveBackIfUnused(id) } }
            let request = MapRequest(
                memory: id, offset: mapping.offset, length: mapping.length, iova: mapping.iova,
                access: mapping.access)
            try checkRequest(request, ioas: ioas.id)
            let object = try mapped(id)
            try ioas.checkShape(iova: mapping.iova, length: mapping.length)
            try checkRange(of: object, id: id, offset: mapping.offset, length: mapping.length)
            _ = try enter(
                ioas, hwpts, object, at: memories.location(of: id), id: id,
                offset: mapping.offset, length: mapping.length, fixed: mapping.iova, access: mapping.access,
                isSourceWritable: mapping.isSourceWritable, isCharged: false)
        }
    }

    /// An hwpt over an IOAS, of an IOMMU that no device has to say.
    package func restoreHWPT(
        smmu: String, ioas id: ObjectID, flags: HWPTFlags, fault: ObjectID?, isAutomatic: Bool
    ) throws(IOMMUError) {
        guard let driver = registry.host.driver(named: smmu) else { throw Self.noSMMU(smmu) }
        let queue = try faultQueue(fault)
        _ = try makeHWPT(
            over: try ioas(id), by: driver, flags: flags, faultQueue: queue, isAutomatic: isAutomatic)
    }

    private func faultQueue(_ id: ObjectID?) throws(IOMMUError) -> FaultQueue? {
        guard let id else { return nil }
        return try table.object(id, .fault, as: FaultQueue.self)
    }

    private static func noSMMU(_ name: String) -> IOMMUError {
        IOMMUError(
            .EIO, .stateLost, "the SMMU “\(name)” is not there any more", hint: "put it back into the configuration",
            ["smmu": .text(name)])
    }

    /// A guest's stage 1.
    package func restoreNestedHWPT(
        viommu id: ObjectID, fault: ObjectID?, _ vste: WordPair
    ) throws(IOMMUError) {
        let viommu = try table.object(id, .viommu, as: VIOMMU.self)
        let queue = try faultQueue(fault)
        try chargeObject()
        do throws(IOMMUError) {
            let words = (vste.first, vste.second)
            enter(
                NestedHWPT(
                    viommu: viommu, domain: try viommu.slice.makeNested(words), vste: words, faultQueue: queue))
        } catch {
            releaseObject()
            throw error
        }
    }

    /// A viommu, of whatever device it was allocated by.
    package func restoreVIOMMU(hwpt id: ObjectID) throws(IOMMUError) {
        let parent = try table.object(id, .hwpt, as: PagingHWPT.self)
        try chargeObject()
        do throws(IOMMUError) {
            enter(VIOMMU(hwpt: parent, slice: try parent.driver.makeSlice(over: parent.domain)))
        } catch {
            releaseObject()
            throw error
        }
    }

    /// The object of a device that is not there any more: it answers ENODEV until it is unbound.
    ///
    /// - Parameter group: the number of the group that it was in.
    package func restoreRemovedDevice(_ description: DeviceDescription, group: UInt32) throws(IOMMUError) {
        guard let driver = registry.host.driver(named: description.smmu) else { throw Self.noSMMU(description.smmu) }
        try chargeObject()
        let device = Device(
            description, driver: driver, port: NoPort(), group: DeviceGroup(id: group, name: description.group),
            number: -1)
        device.isRemoved = true
        enter(DeviceObject(device))
    }

    /// Ids that are given to nothing.
    package func restoreTombstones(_ ids: [ObjectID]) throws(IOMMUError) {
        for id in ids {
            try account.charge(1, of: .objects)
            table.bury(free: id)
        }
    }

    /// Takes out whatever maps a memory object, and closes it. What else uses it has let go already.
    package func lose(memory id: ObjectID) {
        guard let object = memories[id] else { return }
        table.forEachIOAS { ioas in
            var lost: [UInt64] = []
            var position = ioas.areas.first(endingAtOrAfter: 0)
            while let current = position {
                if current.area.memory == id { lost.append(current.area.start) }
                position = current.next
            }
            for start in lost { remove(at: start, from: ioas) }
            if !lost.isEmpty { ioas.flush() }
        }
        guard object.mappings == 0 else { return }
        release(object, id: id)
    }

    /// Nobody knows what devices have written, nor which events a guest has not read.
    package func settleRestored() {
        for object in table.all {
            if let hwpt = object as? PagingHWPT, hwpt.isTrackingDirty { hwpt.domain.markDirty() }
            if let queue = object as? VEventQueue { queue.loseAll() }
        }
    }
}

/// Where a device was attached that is not there any more.
private final class NoPort: TranslationPort {
    func prepare(pasid: UInt32?, target: TranslationTarget) throws(IOMMUError) -> any PreparedTranslation {
        throw IOMMUError(.ENODEV, .deviceRemoved, "the device has been removed", hint: "device.unbind frees its object")
    }

    func block(pasid: UInt32?) {}
    func respond(to fault: FaultToken, success: Bool) {}
}
