import IOMMU

extension ObjectContext {
    // MARK: Nested hwpts

    func makeNested(
        in viommu: VIOMMU, for device: Device, _ request: HWPTRequest, _ faultQueue: FaultQueue?
    ) throws(IOMMUError) -> ObjectID {
        let members: KeyValuePairs<String, IOMMUError.Value> = [
            "pt": .number(UInt64(request.pt)), "name": .text(device.name),
        ]
        guard request.flags.isEmpty else {
            throw IOMMUError(
                .EOPNOTSUPP, .flagsUnsupported, "a nested stage 1 of viommu \(request.pt) takes no flags",
                hint: "leave flags out", members)
        }
        guard let vste = request.vste else {
            throw IOMMUError(
                .EOPNOTSUPP, .dataRequired, "a nested stage 1 of viommu \(request.pt) needs the guest's STE",
                hint: "give it in data.ste", members)
        }
        guard viommu.hwpt.driver === device.driver else {
            throw Self.otherSMMU(request.pt, device, members)
        }
        try chargeObject()
        do {
            let domain = try viommu.slice.makeNested(vste)
            let hwpt = NestedHWPT(viommu: viommu, domain: domain, vste: vste, faultQueue: faultQueue)
            enter(hwpt)
            return hwpt.id
        } catch {
            releaseObject()
            throw error
        }
    }

    /// `IOMMU_HWPT_INVALIDATE` of a viommu.
    ///
    /// - Throws: `ENOENT`; `EINVAL` for the type or a target that takes none, `EOPNOTSUPP` for a nested hwpt, `EIO` for
    ///   a command that is not a guest's, with `handled`.
    package func invalidate(
        target id: ObjectID, type: String, entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Int {
        let members: KeyValuePairs<String, IOMMUError.Value> = ["target": .number(UInt64(id))]
        guard let target = table[id] else {
            throw AttachRules.unknownPT(id, .ENOENT).with("target", .number(UInt64(id)))
        }
        guard let viommu = target as? VIOMMU else {
            if target is NestedHWPT {
                throw IOMMUError(
                    .EOPNOTSUPP, .invalidateThroughViommu,
                    "hwpt \(id) takes no invalidations: an SMMUv3 takes them for a whole viommu",
                    hint: "name its viommu as target", members)
            }
            throw IOMMUError(
                .EINVAL, .wrongKind, "object \(id) is a \(target.kind.rawValue), not a viommu",
                hint: "name the viommu that the hwpt was allocated with as target", members)
        }
        guard type == viommu.hwpt.driver.traits.virtualType else {
            throw IOMMUError(
                .EINVAL, .wrongType, "“\(type)” is not the type of the entries that viommu \(id) takes",
                hint: "give \(viommu.hwpt.driver.traits.virtualType)", members)
        }
        do {
            return try viommu.slice.invalidate(entries: entries)
        } catch {
            throw error.with("target", .number(UInt64(id)))
        }
    }

    private static func otherSMMU(
        _ viommu: ObjectID, _ device: Device, _ members: KeyValuePairs<String, IOMMUError.Value>
    ) -> IOMMUError {
        IOMMUError(
            .EINVAL, .otherSMMU, "viommu \(viommu) is a slice of another SMMU than device \(device.name) is behind",
            hint: "make one of the device's own SMMU: viommu.alloc with this device", members)
    }

    // MARK: Virtual IOMMUs

    /// `IOMMU_VIOMMU_ALLOC`. `ENOENT`, `ENODEV`; `EOPNOTSUPP` for the type or without nesting, `EINVAL` for an hwpt
    /// that is no nest parent of the device's IOMMU, `EDQUOT`.
    package func allocateVIOMMU(device id: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> ObjectID {
        let device = try device(id)
        guard type == device.driver.traits.virtualType else {
            throw IOMMUError(
                .EOPNOTSUPP, .wrongType, "“\(type)” is not the type of a viommu of \(device.driver.name)",
                hint: "give \(device.driver.traits.virtualType)", ["type": .text(type)])
        }
        guard device.driver.traits.hasNesting else {
            throw IOMMUError(
                .EOPNOTSUPP, .noNesting, "\(device.driver.name) does not have both stages of translation",
                hint: "take a device behind another SMMU", ["smmu": .text(device.driver.name)])
        }
        guard let object = table[hwpt] as? HWPT else { throw ObjectTable.unknown(hwpt, .hwpt) }
        guard let parent = object as? PagingHWPT, parent.flags.contains(.nestParent) else {
            throw IOMMUError(
                .EINVAL, .notANestParent, "hwpt \(hwpt) was not allocated to nest in",
                hint: "allocate it with the flag nest_parent", ["hwpt": .number(UInt64(hwpt))])
        }
        guard parent.driver === device.driver else {
            throw IOMMUError(
                .EINVAL, .otherSMMU, "hwpt \(hwpt) is a table of another SMMU than device \(device.name) is behind",
                hint: "allocate the nest parent with a device behind the same SMMU",
                ["hwpt": .number(UInt64(hwpt)), "device": .number(UInt64(id))])
        }
        try chargeObject()
        do {
            let viommu = VIOMMU(hwpt: parent, slice: try device.driver.makeSlice(over: parent.domain))
            enter(viommu)
            return viommu.id
        } catch {
            releaseObject()
            throw error
        }
    }

    /// `IOMMU_VDEVICE_ALLOC`. `ENOENT`, `ENODEV`; `EEXIST` for what is taken, `EINVAL` for a device of another IOMMU or
    /// an id that the hardware has no bits for, `EOPNOTSUPP` for a device of several streams, `EDQUOT`.
    package func allocateVDevice(
        viommu id: ObjectID, device: ObjectID, virtualID: UInt64
    ) throws(IOMMUError) -> ObjectID {
        let viommu = try table.object(id, .viommu, as: VIOMMU.self)
        let object = try deviceObject(device)
        let members: KeyValuePairs<String, IOMMUError.Value> = [
            "viommu": .number(UInt64(id)), "device": .number(UInt64(device)), "virt_id": .number(virtualID),
        ]
        guard viommu.hwpt.driver === object.device.driver else {
            throw Self.otherSMMU(id, object.device, members)
        }
        guard object.device.description.streamIDs.count == 1 else {
            throw IOMMUError.severalStreams(of: object.device.name)
        }
        guard object.vdevice == nil else { throw IOMMUError.vdeviceExists(of: object.device.name) }
        guard viommu.vdevices[virtualID] == nil else {
            throw IOMMUError.virtualIDTaken(virtualID, in: id, device: device)
        }
        try chargeObject()
        do {
            try viommu.slice.setVDevice(virtualID, port: object.device.port)
        } catch {
            releaseObject()
            throw error.with("viommu", .number(UInt64(id))).with("device", .number(UInt64(device)))
        }
        let vdevice = VDevice(viommu: viommu, device: object, virtualID: virtualID)
        viommu.vdevices[virtualID] = vdevice
        object.vdevice = vdevice
        enter(vdevice)
        return vdevice.id
    }

    func release(_ vdevice: VDevice) {
        unlink(vdevice)
        table.remove(vdevice)
        releaseObject()
    }

    /// Its device goes while it is there: the id is not given to another object, so that a late `object.destroy` meets
    /// no stranger (`iommufd_object_tombstone_user`). What it was charged for stays charged.
    func bury(_ vdevice: VDevice) {
        unlink(vdevice)
        table.bury(vdevice)
    }

    private func unlink(_ vdevice: VDevice) {
        vdevice.viommu.slice.removeVDevice(vdevice.virtualID)
        vdevice.viommu.vdevices[vdevice.virtualID] = nil
        vdevice.device.vdevice = nil
    }

    // MARK: Virtual events

    /// `IOMMU_VEVENTQ_ALLOC`. `ENOENT`; `EINVAL` for the depth, `EOPNOTSUPP` for the type, `EEXIST`, `EDQUOT`.
    package func allocateVEventQueue(
        viommu id: ObjectID, type: String, depth: UInt32
    ) throws(IOMMUError) -> ObjectID {
        let members: KeyValuePairs<String, IOMMUError.Value> = [
            "viommu": .number(UInt64(id)), "depth": .number(UInt64(depth)),
        ]
        guard depth > 0, depth <= VEventQueue.maxDepth else {
            throw IOMMUError.badDepth(depth, atMost: VEventQueue.maxDepth, viommu: id)
        }
        let viommu = try table.object(id, .viommu, as: VIOMMU.self)
        guard type == viommu.hwpt.driver.traits.virtualType else {
            throw IOMMUError(
                .EOPNOTSUPP, .wrongType, "“\(type)” is not the type of an event queue of viommu \(id)",
                hint: "give \(viommu.hwpt.driver.traits.virtualType)", members)
        }
        guard viommu.eventQueue == nil else { throw IOMMUError.eventQueueExists(of: id, depth: depth) }
        try chargeObject()
        let queue = VEventQueue(viommu: viommu, depth: depth)
        viommu.eventQueue = queue
        enter(queue)
        return queue.id
    }

    /// At most `max` events, oldest first. `ENOENT`.
    package func readVirtualEvents(_ queue: ObjectID, max: Int) throws(IOMMUError) -> [VirtualEvent] {
        let queue = try table.object(queue, .veventq, as: VEventQueue.self)
        return queue.read(max: max)
    }
}
