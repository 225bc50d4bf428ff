import IOMMU
import LinuxIO

/// What makes the objects of a context anew, in the order in which they need each other.
extension ObjectContext {
    /// Memory objects come first; `files` tells where those are found again.
    ///
    /// - Parameter spaces: what makes the address spaces anew whose pages are mapped.
    package func walkSteps(files: any KeptFiles, spaces: [KeptWalk.Step] = []) -> [KeptWalk.Step] {
        let memory = step { [self] take in
            for (id, memory) in memories.all { take(change(memory, id, files), given(memory: id)) }
        }
        return [memory] + spaces + [
            walkIOASes(),
            step { [self] take in
                for object in table.all where object is FaultQueue { take(.allocateFaultQueue, given(object)) }
                for case let object as DeviceObject in table.all { take(change(object), given(object)) }
                for case let hwpt as PagingHWPT in table.all { take(change(hwpt), given(hwpt)) }
                for case let viommu as VIOMMU in table.all { take(.viommu(hwpt: viommu.hwpt.id), given(viommu)) }
                for case let vdevice as VDevice in table.all { take(change(vdevice), given(vdevice)) }
                for case let hwpt as NestedHWPT in table.all { take(change(hwpt), given(hwpt)) }
                for case let queue as VEventQueue in table.all { take(change(queue), given(queue)) }
                if table.tombstones > 0 { take(.tombstones(table.tombstoneIDs), []) }
            },
            step { [self] take in
                for case let device as DeviceObject in table.all { attachments(of: device, take) }
                for case let hwpt as PagingHWPT in table.all where hwpt.isTrackingDirty {
                    take(.setDirtyTracking(hwpt: hwpt.id, true), [])
                }
            },
        ]
    }

    /// One that is short: few objects are of these kinds.
    private func step(_ body: @escaping (KeptWalk.Taker) -> Void) -> KeptWalk.Step {
        { _, take in
            body(take)
            return true
        }
    }

    private func given(_ object: SessionObject) -> [Ledger.Entry] { [Ledger.Entry(.object, UInt64(object.id))] }

    private func given(_ hwpt: PagingHWPT) -> [Ledger.Entry] {
        given(hwpt as SessionObject) + (hwpt.domain.given.map { [$0] } ?? [])
    }

    private func given(memory id: ObjectID) -> [Ledger.Entry] {
        [Ledger.Entry(.window, memories.location(of: id)), Ledger.Entry(.memory, UInt64(id))]
    }

    // MARK: Changes

    private func change(_ memory: MemoryObject, _ id: ObjectID, _ files: any KeptFiles) -> Change {
        var facts = facts(of: memory)
        facts.file = files.file(ofMemory: id)
        return .addMemory(facts)
    }

    /// What there is to know of it.
    package func facts(of memory: MemoryObject) -> KeptMemory {
        KeptMemory(
            name: memory.name, size: memory.size, isCreated: createdMemories.contains(ObjectIdentifier(memory)),
            isHuge: memory.isHuge, file: 0)
    }

    private func change(_ object: DeviceObject) -> Change {
        let device = object.device
        return device.isRemoved
            ? .removedDevice(device.description, group: device.group.id) : .bind(name: device.name)
    }

    private func change(_ hwpt: PagingHWPT) -> Change {
        .hwpt(
            smmu: hwpt.driver.name, ioas: hwpt.ioas.id, flags: hwpt.flags.rawValue, fault: hwpt.faultQueue?.id,
            isAutomatic: hwpt.isAutomatic)
    }

    private func change(_ hwpt: NestedHWPT) -> Change {
        .nestedHWPT(
            viommu: hwpt.viommu.id, fault: hwpt.faultQueue?.id, vste: WordPair(hwpt.vste.0, hwpt.vste.1))
    }

    private func change(_ vdevice: VDevice) -> Change {
        .allocateVDevice(viommu: vdevice.viommu.id, device: vdevice.device.id, virtualID: vdevice.virtualID)
    }

    private func change(_ queue: VEventQueue) -> Change {
        .allocateVEventQueue(
            viommu: queue.viommu.id, type: queue.viommu.hwpt.driver.traits.virtualType,
            depth: UInt32(clamping: queue.depth))
    }

    private func attachments(of device: DeviceObject, _ take: KeptWalk.Taker) {
        for (key, hwpt) in device.attachments.sorted(by: { $0.key < $1.key }) {
            let pasid = key == DeviceGroup.ridKey ? nil : key
            take(.attach(device: device.id, pt: hwpt.id, pasid: pasid), [])
        }
    }

    // MARK: IOASes

    /// Mappings in one change.
    private static let mappingsInAChange = 512

    /// IOAS by IOAS, so many mappings at a time.
    private func walkIOASes() -> KeptWalk.Step {
        var next: ObjectID = 1
        var place: UInt64? = 0
        return { [self] budget, take in
            while next <= table.lastID {
                guard let ioas = table[next] as? IOAS else {
                    next += 1
                    continue
                }
                if place == 0 { begin(ioas, take) }
                while let start = place {
                    place = mappings(of: ioas, from: start, take)
                    if budget.isSpent(after: Self.mappingsInAChange / 8) { return false }
                }
                (next, place) = (next + 1, 0)
            }
            return true
        }
    }

    private func begin(_ ioas: IOAS, _ take: KeptWalk.Taker) {
        take(.allocateIOAS, given(ioas))
        if !ioas.usesHugePages { take(.setHugePages(ioas: ioas.id, false), []) }
        if !ioas.allowed.isEmpty { take(.allowIOVAs(ioas: ioas.id, ioas.allowed), []) }
    }

    /// - Returns: where to go on; nil: at the end.
    private func mappings(of ioas: IOAS, from start: UInt64, _ take: KeptWalk.Taker) -> UInt64? {
        var found: [KeptMapping] = []
        var next: UInt64?
        var position = ioas.areas.first(endingAtOrAfter: start)
        while let current = position {
            let area = current.area
            guard found.count < Self.mappingsInAChange else {
                next = area.start
                break
            }
            found.append(
                KeptMapping(
                    iova: area.start, length: area.length, offset: area.offset,
                    memory: memories.lent(area.memory).map { $0.mm | MapRequest.spaceFlag } ?? area.memory,
                    access: area.access, isSourceWritable: area.isSourceWritable))
            position = current.next
        }
        if !found.isEmpty { take(.map(ioas: ioas.id, found), []) }
        return next
    }
}
