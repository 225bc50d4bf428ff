import IOMMU
import IOMMUObjects
import LinuxIO

/// Attaching: one ioctl attaches and replaces, and what is attached already decides which of the two it is.
extension KernelContext {
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of what is attached to nothing.
    package func attach(device id: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID {
        try now(try attaching(id, pt, pasid, isReplacement: false))
    }

    /// ``attach(device:to:pasid:)`` on a worker: a table may be made and filled for it.
    package func beginAttach(device id: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<
        ObjectID
    > {
        later(try attaching(id, pt, pasid, isReplacement: false))
    }

    /// The same ioctl, of what is attached already.
    package func replace(device id: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID {
        try now(try attaching(id, pt, pasid, isReplacement: true))
    }

    /// ``replace(device:with:pasid:)`` on a worker.
    package func beginReplace(
        device id: ObjectID, with pt: ObjectID, pasid: UInt32?
    ) throws(IOMMUError) -> Answer<ObjectID> {
        later(try attaching(id, pt, pasid, isReplacement: true))
    }

    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`; nothing is asked of the kernel for what is attached to nothing.
    package func detach(device id: ObjectID, pasid: UInt32?) throws(IOMMUError) {
        guard let work = try detaching(id, pasid) else { return }
        try now(work)
    }

    /// ``detach(device:pasid:)`` on a worker.
    package func beginDetach(device id: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<Void> {
        guard let work = try detaching(id, pasid) else { return .now(()) }
        return later(work)
    }

    // MARK: Attach and replace

    private typealias AttachWork = Work<Result<ObjectID, KernelFailure>, ObjectID>

    private func attaching(
        _ id: ObjectID, _ pt: ObjectID, _ pasid: UInt32?, isReplacement: Bool
    ) throws(IOMMUError) -> AttachWork {
        let device = try device(id)
        let key = try Self.key(device, pasid: pasid)
        let target = try target(pt, for: device)
        let present = device.attachments[key]
        if !isReplacement, let present {
            throw IOMMUError(
                .EBUSY, .alreadyAttached, "device \(device.name) is attached to hwpt \(present.id)",
                hint: "device.replace moves it without a gap",
                ["device": .number(UInt64(id)), "hwpt": .number(UInt64(present.id))])
        }
        if isReplacement, present == nil {
            throw IOMMUError(
                .EINVAL, .notAttached,
                "\(pasid.map { "PASID \($0) of " } ?? "")device \(device.name) is not attached",
                hint: "use device.attach", ["device": .number(UInt64(id)), "name": .text(device.name)])
        }
        if let problem = compatibilityProblem(target, on: device, key: key) {
            throw problem.with("device", .number(UInt64(id)))
        }
        // An IOAS may get a new hwpt, which is charged where it comes.
        try charge()
        let bound = device.bound
        return Work(
            work: {
                Result { () throws(KernelFailure) in
                    try bound.attach(to: pt, pasid: pasid, isReplacement: isReplacement)
                }
            }
        ) { [self] result in
            switch result {
            case .failure(let failure):
                store.releaseObject()
                return .failure(refusal(failure, ofAttaching: device, to: target, key: key))
            case .success(let hwpt):
                return .success(entered(hwpt, target, device, key: key))
            }
        }
    }

    /// The device, or PASID, is on the hwpt now; with siblings that moved along.
    func entered(_ id: ObjectID, _ target: KernelObject, _ device: KernelDevice, key: UInt32) -> ObjectID {
        let hwpt: KernelHWPT
        backend.ledger.note(.object, UInt64(id))
        if let known = table[id] as? KernelHWPT {
            hwpt = known
            store.releaseObject()
        } else if let ioas = target as? KernelIOAS {
            hwpt = KernelHWPT(id: id, base: .ioas(ioas), isAutomatic: true)
            if hwpt.isDirect { store.releaseObject() } else { table.insert(hwpt) }
        } else {
            store.releaseObject()
            return id
        }
        let siblings = device.attachments[key] == nil ? [] : siblings(of: device).filter { $0.attachments[key] != nil }
        for member in [device] + siblings {
            let old = member.attachments.updateValue(hwpt, forKey: key)
            hwpt.attachmentsChanged(by: 1)
            if let old { left(old, by: member, key: key) }
        }
        return id
    }

    /// Devices of this context in the group of the device.
    func siblings(of device: KernelDevice) -> [KernelDevice] {
        guard let group = device.group else { return [] }
        return table.all.compactMap { $0 as? KernelDevice }.filter { $0 !== device && $0.group == group }
    }

    // MARK: Detach

    private func detaching(
        _ id: ObjectID, _ pasid: UInt32?
    ) throws(IOMMUError) -> Work<Result<Void, KernelFailure>, Void>? {
        let device = try device(id)
        let key = try Self.key(device, pasid: pasid)
        guard device.attachments[key] != nil else { return nil }
        let bound = device.bound
        return Work(work: { Result { () throws(KernelFailure) in try bound.detach(pasid: pasid) } }) { [self] result in
            if case .failure(let failure) = result {
                return .failure(failure.refusal().with("device", .number(UInt64(id))))
            }
            leave(device, key: key)
            return .success(())
        }
    }

    /// The device, or PASID, is attached to nothing any more.
    func leave(_ device: KernelDevice, key: UInt32) {
        guard let hwpt = device.attachments.removeValue(forKey: key) else { return }
        left(hwpt, by: device, key: key)
    }

    private func left(_ hwpt: KernelHWPT, by device: KernelDevice, key: UInt32) {
        hwpt.attachmentsChanged(by: -1)
        hwpt.faultQueue?.forget(
            device: device.id, pasid: key == KernelDevice.ridKey ? nil : key, hwpt: hwpt)
        guard hwpt.isAutomatic, hwpt.users == 0 else { return }
        hwpt.release()
        guard !hwpt.isDirect else { return }
        table.remove(hwpt)
        store.releaseObject()
    }
}
