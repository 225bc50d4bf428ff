import IOMMU
import IOMMUObjects
import LinuxIO

/// What may be attached where: what the kernel is laxer about before it is asked, what its errno means afterwards.
extension KernelContext {
    /// Under which key an attachment is kept.
    ///
    /// The kernel takes PASID 0 for no PASID at all, and lets any PASID pass on a device that has none.
    static func key(_ device: KernelDevice, pasid: UInt32?) throws(IOMMUError) -> UInt32 {
        guard let pasid else { return KernelDevice.ridKey }
        guard device.pasidBits > 0 else { throw IOMMUError.noPASIDs(on: device.name) }
        guard pasid != KernelDevice.ridKey, UInt64(pasid) >> UInt64(device.pasidBits) == 0 else {
            throw IOMMUError.badPASID(pasid, on: device.name, bits: Int(device.pasidBits))
        }
        return pasid
    }

    /// An IOAS or hwpt.
    func target(_ pt: ObjectID, for device: KernelDevice) throws(IOMMUError) -> KernelObject {
        guard let object = table[pt] else {
            throw IOMMUError(
                .ENOENT, .unknownPt, "there is no object \(pt) in this session",
                hint: "session.objects lists what there is",
                ["pt": .number(UInt64(pt)), "device": .number(UInt64(device.id))])
        }
        guard object is KernelIOAS || object is KernelHWPT else {
            throw Self.wrongKind(object).with("device", .number(UInt64(device.id)))
        }
        return object
    }

    static func wrongKind(_ object: KernelObject) -> IOMMUError {
        IOMMUError(
            .EINVAL, .wrongKind, "object \(object.id) is a \(object.kind.rawValue): nothing to attach a device to",
            hint: "an ioas or an hwpt is expected",
            ["pt": .number(UInt64(object.id)), "kind": .text(object.kind.rawValue)])
    }

    /// Where PASIDs and the device's own transactions cannot be together.
    func compatibilityProblem(_ target: KernelObject, on device: KernelDevice, key: UInt32) -> IOMMUError? {
        let takesPASIDs = (target as? KernelHWPT).map { !$0.isNested && $0.flags.contains(.pasid) } ?? false
        let members: KeyValuePairs<String, IOMMUError.Value> = [
            "pt": .number(UInt64(target.id)), "name": .text(device.name),
        ]
        guard key != KernelDevice.ridKey else {
            guard !takesPASIDs, device.attachments.keys.contains(where: { $0 != KernelDevice.ridKey }) else {
                return nil
            }
            return IOMMUError(
                .EINVAL, .notPASIDCompatible, "object \(target.id) cannot sit beside attached PASIDs",
                hint: "allocate an hwpt with the flag pasid, or detach the PASIDs first", members)
        }
        guard takesPASIDs else {
            return IOMMUError(
                .EINVAL, .notPASIDCompatible, "object \(target.id) was not allocated for PASIDs",
                hint: "allocate an hwpt with the flag pasid", members
            ).with("pasid", .number(UInt64(key)))
        }
        if let below = device.attachments[KernelDevice.ridKey], below.isNested || !below.flags.contains(.pasid) {
            return IOMMUError(
                .EINVAL, .ridNotPASIDCompatible,
                "device \(device.name) itself is attached to hwpt \(below.id), which was not allocated for PASIDs",
                hint: "replace it by an hwpt with the flag pasid", members)
        }
        return nil
    }

    func refusal(
        _ failure: KernelFailure, ofAttaching device: KernelDevice, to target: KernelObject, key: UInt32
    ) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EINVAL: return mismatch(target, device, key: key)
            case .EADDRINUSE: return collision(of: device, with: target)
            case .EBUSY:
                return IOMMUError(
                    .EBUSY, .pasidsInUse,
                    "device \(device.name) has PASIDs in use that this does not go with, or is being reset",
                    hint: "detach the PASIDs first")
            case .ENOENT:
                guard let hwpt = target as? KernelHWPT, case .viommu(let viommu, _) = hwpt.base else { return nil }
                return .vdeviceRequired(for: device.name, in: viommu.id)
            case .ENODEV: return .removed(device)
            case .ENOSPC: return .noTag(behind: device)
            default: return nil
            }
        }.with("device", .number(UInt64(device.id))).with("name", .text(device.name))
    }

    /// EINVAL: the group is somewhere else, or the table is another IOMMU's.
    private func mismatch(_ target: KernelObject, _ device: KernelDevice, key: UInt32) -> IOMMUError {
        for sibling in siblings(of: device) {
            guard let hwpt = sibling.attachments[key], device.attachments[key] == nil, hwpt !== target,
                hwpt.ioas !== target
            else { continue }
            return IOMMUError(
                .EINVAL, .groupAttachedElsewhere,
                "\(sibling.name) of the same group is attached to hwpt \(hwpt.id)",
                hint: "attach to that, or replace it for the whole group",
                ["hwpt": .number(UInt64(hwpt.id)), "sibling": .text(sibling.name)])
        }
        return IOMMUError(
            .EINVAL, .otherSMMU, "object \(target.id) does not fit the IOMMU of device \(device.name)",
            hint: "attach the IOAS, or allocate an hwpt with this device", ["pt": .number(UInt64(target.id))])
    }

    /// EADDRINUSE: a mapping, or an allowed range, is where the device cannot go.
    func collision(of device: KernelDevice, with target: KernelObject) -> IOMMUError? {
        guard let ioas = target as? KernelIOAS ?? (target as? KernelHWPT)?.ioas else { return nil }
        for region in backend.inventory.device(named: device.name)?.unusableRegions ?? [] {
            guard let area = ioas.areas.firstOverlap(start: region.range.start, last: region.range.last) else {
                continue
            }
            return ioas.refusal(
                .EADDRINUSE, .mappingInReservedRegion,
                "the mapping of ioas \(ioas.id) at \(hexadecimal(area.start)) lies in "
                    + "\(hexadecimal(region.range.start))-\(hexadecimal(region.range.last)), which is "
                    + "\(region.kind.rawValue) for \(device.name)", area.start, area.length,
                hint: "unmap it and map that memory elsewhere; ioas.check tells all such places at once"
            ).with("region_start", .hex(region.range.start)).with("region_last", .hex(region.range.last))
        }
        if let error = ioas.misalignment { return error }
        return IOMMUError(
            .EADDRINUSE, .mappingInReservedRegion,
            "a mapping or an allowed range of ioas \(ioas.id) lies where \(device.name) or its IOMMU cannot go",
            hint: "ioas.iova_ranges of an empty IOAS with the device attached shows what it can use",
            ["ioas": .number(UInt64(ioas.id))])
    }
}

extension IOMMUError {
    static func noTag(behind device: KernelDevice) -> IOMMUError {
        IOMMUError(
            .ENOSPC, .asidExhausted, "the IOMMU of device \(device.name) has no tag left for a table",
            hint: "destroy hwpts that are not needed", ["name": .text(device.name)])
    }

    static func removed(_ device: KernelDevice) -> IOMMUError {
        IOMMUError(
            .ENODEV, .deviceRemoved, "device \(device.name) has been removed", hint: "device.unbind frees its object",
            ["device": .number(UInt64(device.id)), "name": .text(device.name)])
    }
}

extension KernelIOAS {
    /// `EADDRINUSE`: the first mapping that is not whole pages; nil: there is none.
    var misalignment: IOMMUError? {
        areas.firstMisaligned.map { area in
            refusal(
                .EADDRINUSE, .mappingMisaligned,
                "a mapping of ioas \(id) is not whole pages, which is what the hardware maps", area.start, area.length,
                hint: "unmap it and map it again on page boundaries")
        }
    }
}
