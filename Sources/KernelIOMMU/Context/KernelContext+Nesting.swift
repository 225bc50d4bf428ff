import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// Virtual IOMMUs, their devices and invalidations. Of the kinds that Linux has, those of an SMMUv3 are offered.
extension KernelContext {
    private static let smmuV3 = "arm_smmuv3"
    /// `IOMMU_VIOMMU_TYPE_ARM_SMMUV3`, `IOMMU_VEVENTQ_TYPE_ARM_SMMUV3` and the data of invalidations.
    static let smmuV3Type: UInt32 = 1

    /// `IOMMU_VIOMMU_ALLOC`
    package func allocateVIOMMU(device id: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> ObjectID {
        try now(try slicing(id, hwpt, type))
    }

    /// ``allocateVIOMMU(device:hwpt:type:)`` on a worker: the driver may have to ask its hardware.
    package func beginAllocateVIOMMU(
        device id: ObjectID, hwpt: ObjectID, type: String
    ) throws(IOMMUError) -> Answer<ObjectID> {
        later(try slicing(id, hwpt, type))
    }

    private func slicing(
        _ id: ObjectID, _ hwpt: ObjectID, _ type: String
    ) throws(IOMMUError) -> Work<Result<ObjectID, KernelFailure>, ObjectID> {
        let device = try device(id)
        guard type == Self.smmuV3 else { throw Self.wrongType(type) }
        let parent = try table.object(hwpt, .hwpt, as: KernelHWPT.self)
        guard !parent.isNested, parent.flags.contains(.nestParent) else {
            throw IOMMUError(
                .EINVAL, .notANestParent, "hwpt \(hwpt) was not allocated to nest in",
                hint: "allocate it with the flag nest_parent", ["hwpt": .number(UInt64(hwpt))])
        }
        let handle = try handle()
        try charge()
        return Work(
            work: {
                Result { () throws(KernelFailure) in
                    var argument = clinux_iommu_viommu_alloc()
                    (argument.type, argument.dev_id, argument.hwpt_id) = (Self.smmuV3Type, id, hwpt)
                    try handle.perform(IOMMUFD.viommuAlloc, &argument)
                    return argument.out_viommu_id
                }
            }
        ) { [self] result in
            switch result {
            case .success(let made):
                enter(KernelVIOMMU(id: made, hwpt: parent))
                return .success(made)
            case .failure(let failure):
                store.releaseObject()
                return .failure(refusal(failure, ofSlicing: device, parent))
            }
        }
    }

    private func refusal(
        _ failure: KernelFailure, ofSlicing device: KernelDevice, _ parent: KernelHWPT
    ) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EOPNOTSUPP:
                return IOMMUError(
                    .EOPNOTSUPP, .noNesting, "the IOMMU of \(device.name) has no virtual SMMUv3s",
                    hint: "take a device behind an SMMUv3 that has both stages", ["name": .text(device.name)])
            case .EINVAL:
                return IOMMUError(
                    .EINVAL, .otherSMMU, "hwpt \(parent.id) is a table of another IOMMU than the device's",
                    hint: "allocate the nest parent with a device behind the same IOMMU",
                    ["hwpt": .number(UInt64(parent.id)), "device": .number(UInt64(device.id))])
            default: return nil
            }
        }
    }

    /// `IOMMU_VDEVICE_ALLOC`
    package func allocateVDevice(
        viommu id: ObjectID, device deviceID: ObjectID, virtualID: UInt64
    ) throws(IOMMUError) -> ObjectID {
        let viommu = try table.object(id, .viommu, as: KernelVIOMMU.self)
        let device = try device(deviceID)
        let members: KeyValuePairs<String, IOMMUError.Value> = [
            "viommu": .number(UInt64(id)), "device": .number(UInt64(deviceID)), "virt_id": .number(virtualID),
        ]
        guard virtualID <= UInt32.max else {
            throw IOMMUError(
                .EINVAL, .badVirtualID, "virt_id \(virtualID) has more than the 32 bits of a StreamID",
                hint: "give a smaller one", members)
        }
        guard device.vdevice == nil else { throw IOMMUError.vdeviceExists(of: device.name) }
        guard viommu.vdevices[virtualID] == nil else {
            throw IOMMUError.virtualIDTaken(virtualID, in: id, device: deviceID)
        }
        var argument = clinux_iommu_vdevice_alloc()
        (argument.viommu_id, argument.dev_id, argument.virt_id) = (id, deviceID, virtualID)
        try make(IOMMUFD.vdeviceAlloc, &argument) { errno in
            switch errno {
            case .EINVAL:
                return IOMMUError(
                    .EINVAL, .otherSMMU, "viommu \(id) is a slice of another IOMMU than the device's",
                    hint: "viommu.alloc with this device makes one of its own IOMMU", members)
            case .EOPNOTSUPP: return .severalStreams(of: device.name)
            case .ENOENT: return .removed(device)
            default: return nil
            }
        }
        let vdevice = KernelVDevice(
            id: argument.out_vdevice_id, viommu: viommu, device: device, virtualID: virtualID)
        enter(vdevice)
        return vdevice.id
    }

    /// Makes an object: room for it first, given back if the kernel refuses.
    func make<Structure>(
        _ call: KernelCall<Structure>, _ argument: inout Structure, descriptors: UInt64 = 0,
        _ meaning: (Errno) -> IOMMUError?
    ) throws(IOMMUError) {
        let handle = try handle()
        try store.chargeObject(descriptors: descriptors)
        do throws(KernelFailure) {
            try handle.perform(call, &argument)
        } catch {
            store.releaseObject(descriptors: descriptors)
            throw error.refusal(meaning)
        }
    }

    static func wrongType(_ type: String) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .wrongType, "type “\(type)” is none that is offered",
            hint: "those of an SMMUv3 are: arm_smmuv3", ["type": .text(type)])
    }

    // MARK: Invalidations

    /// What the kernel came to: commands done, and whether one of them was refused.
    private struct Progress: Sendable {
        var handled = 0
        var failure: KernelFailure?
    }

    /// `IOMMU_HWPT_INVALIDATE`: the commands go to the kernel as they are, and it says how many it took.
    package func invalidate(
        target id: ObjectID, type: String, entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Int {
        try now(try invalidating(id, type, entries))
    }

    /// ``invalidate(target:type:entries:)`` on a worker: the hardware is waited for.
    package func beginInvalidate(
        target id: ObjectID, type: String, entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Answer<Int> {
        later(try invalidating(id, type, entries))
    }

    private func invalidating(
        _ id: ObjectID, _ type: String, _ entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Work<Progress, Int> {
        let members: KeyValuePairs<String, IOMMUError.Value> = ["target": .number(UInt64(id))]
        guard let target = table[id] else {
            throw IOMMUError(
                .ENOENT, .unknownPt, "there is no object \(id) in this session",
                hint: "session.objects lists what there is", ["pt": .number(UInt64(id))]
            ).with("target", .number(UInt64(id)))
        }
        guard target is KernelVIOMMU else { throw Self.notInvalidated(target, members) }
        guard type == Self.smmuV3 else {
            throw IOMMUError(
                .EINVAL, .wrongType, "viommu \(id) takes no entries of type “\(type)”", hint: "give arm_smmuv3", members
            )
        }
        let words = entries.flatMap { [$0.0.littleEndian, $0.1.littleEndian] }
        let handle = try handle()
        return Work(work: { Self.invalidate(words, of: id, by: handle) }) { progress in
            guard let failure = progress.failure else { return .success(progress.handled) }
            let error = failure.refusal { errno in
                guard errno == .EIO else { return nil }
                return IOMMUError(
                    .EIO, .badCommand, "entry \(progress.handled) is none that a guest may issue",
                    hint: "TLBI of the guest's own VMID, CFGI_CD and ATC_INV with a virtual StreamID")
            }
            return .failure(
                error.with("target", .number(UInt64(id))).with("handled", .number(UInt64(progress.handled))))
        }
    }

    private static func notInvalidated(
        _ target: KernelObject, _ members: KeyValuePairs<String, IOMMUError.Value>
    ) -> IOMMUError {
        if let hwpt = target as? KernelHWPT, hwpt.isNested {
            return IOMMUError(
                .EOPNOTSUPP, .invalidateThroughViommu,
                "an SMMUv3 takes invalidations for a whole viommu, not for hwpt \(target.id)",
                hint: "name the viommu", members)
        }
        return IOMMUError(
            .EINVAL, .wrongKind, "object \(target.id) is a \(target.kind.rawValue), not a viommu",
            hint: "name the viommu that the hwpt was allocated with", members)
    }

    private static func invalidate(_ words: [UInt64], of target: ObjectID, by handle: KernelHandle) -> Progress {
        var argument = clinux_iommu_hwpt_invalidate()
        (argument.hwpt_id, argument.data_type, argument.entry_len) = (target, smmuV3Type, 16)
        argument.entry_num = UInt32(words.count / 2)
        var progress = Progress()
        words.withUnsafeBytes { buffer in
            argument.data_uptr = UInt64(UInt(bitPattern: buffer.baseAddress))
            do throws(KernelFailure) { try handle.perform(IOMMUFD.hwptInvalidate, &argument) } catch {
                progress.failure = error
            }
        }
        progress.handled = Int(argument.entry_num)
        return progress
    }
}
