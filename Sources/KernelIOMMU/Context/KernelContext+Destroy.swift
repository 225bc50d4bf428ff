import IOMMU
import IOMMUObjects
import LinuxIO

/// Ends. The kernel may wait a minute for somebody who still uses an object, so the service lets workers do all of it.
extension KernelContext {
    /// `IOMMU_DESTROY`
    package func destroy(object id: ObjectID) throws(IOMMUError) { try now(try destroying(id)) }

    /// ``destroy(object:)`` on a worker.
    package func beginDestroy(object id: ObjectID) throws(IOMMUError) -> Answer<Void> { later(try destroying(id)) }

    private func destroying(_ id: ObjectID) throws(IOMMUError) -> Work<Result<Void, KernelFailure>, Void> {
        let object = try destroyable(id)
        let handle = try handle()
        // The kernel keeps a queue whose descriptor is open.
        (object as? KernelFaultQueue)?.descriptor = nil
        (object as? KernelVEventQueue)?.descriptor = nil
        return Work(work: { Result { () throws(KernelFailure) in try handle.destroy(id) } }) { [self] result in
            if case .failure(let failure) = result {
                return .failure(failure.refusal().with("id", .number(UInt64(id))))
            }
            forget(object)
            return .success(())
        }
    }

    /// An object that nothing uses.
    @discardableResult
    func destroyable(_ id: ObjectID) throws(IOMMUError) -> KernelObject {
        guard let object = table[id] else {
            throw IOMMUError(
                .ENOENT, .unknownObject, "there is no object \(id) in this session",
                hint: "session.objects lists what there is", ["id": .number(UInt64(id))])
        }
        guard !(object is KernelDevice) else {
            throw IOMMUError(
                .EBUSY, .deviceBound, "object \(id) is a bound device", hint: "device.unbind ends it",
                ["id": .number(UInt64(id)), "kind": .text(object.kind.rawValue)])
        }
        guard object.users == 0 else { throw inUse(object) }
        return object
    }

    private func inUse(_ object: KernelObject) -> IOMMUError {
        let holders = table.all.filter { $0.references.contains { $0 === object } }
        let names = holders.prefix(4).map { "\($0.kind.rawValue) \($0.id)" }.joined(separator: ", ")
        return IOMMUError(
            .EBUSY, .objectInUse, "\(object.kind.rawValue) \(object.id) is used by \(names)",
            hint: "end those first; session.objects shows the whole graph",
            [
                "id": .number(UInt64(object.id)), "kind": .text(object.kind.rawValue),
                "users": .number(UInt64(object.users)),
            ])
    }

    /// The kernel has destroyed it.
    func forget(_ object: KernelObject) {
        var descriptors: UInt64 = 0
        switch object {
        case let ioas as KernelIOAS: forgetMappings(of: ioas)
        case let hwpt as KernelHWPT: hwpt.release()
        case let viommu as KernelVIOMMU: viommu.hwpt.viommuCount -= 1
        case let vdevice as KernelVDevice: vdevice.release()
        case let queue as KernelVEventQueue:
            queue.release()
            descriptors = 1
        case is KernelFaultQueue: descriptors = 1
        default: break
        }
        table.remove(object)
        store.releaseObject(descriptors: descriptors)
    }

    // MARK: The whole session

    /// Gives the devices back and closes the iommufd.
    package func close() {
        let work = closing()
        _ = work.finish(work.work())
    }

    /// ``close()`` on a worker, unless nothing is open.
    package func beginClose() -> Answer<Void> {
        guard table.count > 0 || isOpen else { return .now(close()) }
        return later(closing())
    }

    /// Devices first, which end blocked, then the iommufd with all that is left in it.
    private func closing() -> Work<Void, Void> {
        let devices = table.all.compactMap { ($0 as? KernelDevice).map { ($0.bound, Array($0.attachments.keys)) } }
        // Their descriptors keep the iommufd open.
        for object in table.all {
            (object as? KernelFaultQueue)?.descriptor = nil
            (object as? KernelVEventQueue)?.descriptor = nil
        }
        let file = takeHandle()?.file
        return Work(work: {
            for (device, keys) in devices { device.release(attachedAt: keys) }
            file?.end()
        }) { [self] in
            forgetAll()
            return .success(())
        }
    }

    func forgetAll() {
        for case let device as KernelDevice in table.all { forget(device) }
        let order: [(KernelObject) -> Bool] = [
            { $0 is KernelVDevice }, { $0 is KernelVEventQueue }, { ($0 as? KernelHWPT)?.isNested == true },
            { $0 is KernelVIOMMU }, { $0 is KernelHWPT }, { _ in true },
        ]
        for isNext in order { for object in table.all where isNext(object) { forget(object) } }
        for name in delegatedDevices { backend.holdings.release(name) }
        delegatedDevices = []
        for _ in tombstones { store.releaseObject() }
        tombstones = []
        addresses = [:]
        store.close()
    }
}
