import IOMMU

extension ObjectContext {
    /// `IOMMU_DESTROY`. `ENOENT` for an unknown id, `EBUSY` while anything refers to it, and for a bound device.
    package func destroy(object id: ObjectID) throws(IOMMUError) {
        guard let object = table[id] else {
            throw .unknown(.unknownObject, "object", id, key: "id")
        }
        guard !(object is DeviceObject) else {
            throw IOMMUError(
                .EBUSY, .deviceBound, "object \(id) is a bound device", hint: "end it with device.unbind",
                ["id": .number(UInt64(id)), "kind": .text(object.kind.rawValue)])
        }
        guard object.users == 0 else {
            let names = holders(of: object).map { "\($0.kind.rawValue) \($0.id)" }.joined(separator: ", ")
            throw IOMMUError(
                .EBUSY, .objectInUse, "\(object.kind.rawValue) \(id) is used by \(names)",
                hint: "end those first; session.objects shows the whole graph",
                [
                    "id": .number(UInt64(id)), "kind": .text(object.kind.rawValue),
                    "users": .number(UInt64(object.users)),
                ])
        }
        release(object)
    }

    /// The first few objects that refer to it.
    private func holders(of object: SessionObject) -> [SessionObject] {
        var holders: [SessionObject] = []
        var id: ObjectID = 1
        while id <= table.lastID, holders.count < 4 {
            if let holder = table[id], holder.references.contains(where: { $0 === object }) { holders.append(holder) }
            id += 1
        }
        return holders
    }

    func release(_ object: SessionObject) {
        switch object {
        case let ioas as IOAS:
            _ = unmapAll(ioas)
            layoutGeneration &+= 1
            account.release(UInt64(ioas.allowed.count), of: .mappings)
            table.remove(ioas)
            releaseObject()
        case let hwpt as HWPT: release(hwpt)
        case let vdevice as VDevice: release(vdevice)
        case let queue as VEventQueue:
            queue.viommu.eventQueue = nil
            table.remove(queue)
            releaseObject()
        case let viommu as VIOMMU:
            viommu.hwpt.viommuCount -= 1
            table.remove(viommu)
            releaseObject()
        case let object:
            table.remove(object)
            releaseObject()
        }
    }

    /// Everything in the iommufd id space, users before what they use: the devices first, which end blocked.
    func destroyAll() {
        for case let device as DeviceObject in table.all { unbind(device) }
        for case let vdevice as VDevice in table.all { release(vdevice as SessionObject) }
        for case let queue as VEventQueue in table.all { release(queue as SessionObject) }
        for case let hwpt as NestedHWPT in table.all { release(hwpt as SessionObject) }
        for case let viommu as VIOMMU in table.all { release(viommu as SessionObject) }
        for case let hwpt as PagingHWPT in table.all { release(hwpt as SessionObject) }
        for case let ioas as IOAS in table.all { release(ioas as SessionObject) }
        for object in table.all { release(object) }
    }
}
