import IOMMU
import LinuxIO

/// What may be attached where, before anything is prepared.
enum AttachRules {
    /// Under which key of the group an attachment is kept.
    ///
    /// - Throws: `EOPNOTSUPP` for a device without PASIDs, `EINVAL` for a PASID it does not have.
    static func key(_ device: Device, pasid: UInt32?) throws(IOMMUError) -> UInt32 {
        guard let pasid else { return DeviceGroup.ridKey }
        guard device.pasidBits > 0 else { throw IOMMUError.noPASIDs(on: device.name) }
        // Siblings without PASIDs send none, and are left out.
        let bits = device.group.devices.map(\.pasidBits).filter { $0 > 0 }.min() ?? 0
        guard pasid != DeviceGroup.ridKey, pasid >> UInt32(bits) == 0 else {
            throw IOMMUError.badPASID(pasid, on: device.name, bits: Int(bits))
        }
        return pasid
    }

    /// - Throws: what the iommufd uAPI says about this hwpt on this device and PASID.
    static func check(_ hwpt: HWPT, on device: Device, key: UInt32) throws(IOMMUError) {
        guard hwpt.driver === device.driver else {
            throw IOMMUError(
                .EINVAL, .otherSMMU,
                "hwpt \(hwpt.id) is of \(hwpt.driver.name), and device \(device.name) is behind \(device.driver.name)",
                hint: "attach the IOAS, or allocate an hwpt with this device",
                ["hwpt": .number(UInt64(hwpt.id)), "name": .text(device.name)])
        }
        if key == DeviceGroup.ridKey {
            try checkRID(hwpt, on: device)
        } else {
            try checkPASID(hwpt, on: device, pasid: key)
        }
        if let nested = hwpt as? NestedHWPT, nested.domain.needsVirtualID {
            for member in device.group.devices where member.handle?.vdevice?.viommu !== nested.viommu {
                throw IOMMUError.vdeviceRequired(for: member.name, in: nested.viommu.id)
            }
        }
    }

    private static func checkRID(_ hwpt: HWPT, on device: Device) throws(IOMMUError) {
        let group = device.group
        let hasPASIDs = group.attachments.keys.contains { $0 != DeviceGroup.ridKey }
        if hasPASIDs, hwpt.isNested || !hwpt.paging.flags.contains(.pasid) {
            throw IOMMUError(
                .EINVAL, .notPASIDCompatible,
                "hwpt \(hwpt.id) was not allocated for PASIDs, and device \(device.name) has some attached",
                hint: "allocate it with the flag pasid, or detach the PASIDs first",
                ["hwpt": .number(UInt64(hwpt.id)), "name": .text(device.name)])
        }
        let isStage1 = !hwpt.isNested && hwpt.paging.domain.stage == 1
        if !isStage1, group.devices.contains(where: { !$0.sharedPASIDs.isEmpty }) {
            throw IOMMUError(
                .EBUSY, .pasidsInUse,
                "device \(device.name) shares address spaces with processes, which needs a stage 1 of its own",
                hint: "unbind the shared address spaces first",
                ["hwpt": .number(UInt64(hwpt.id)), "name": .text(device.name)])
        }
    }

    private static func checkPASID(_ hwpt: HWPT, on device: Device, pasid: UInt32) throws(IOMMUError) {
        guard !hwpt.isNested, hwpt.paging.flags.contains(.pasid) else {
            throw IOMMUError(
                .EINVAL, .notPASIDCompatible, "hwpt \(hwpt.id) was not allocated for PASIDs",
                hint: "allocate it with the flag pasid",
                ["hwpt": .number(UInt64(hwpt.id)), "pasid": .number(UInt64(pasid))])
        }
        if let below = device.group.attachments[DeviceGroup.ridKey]?.hwpt,
            below.isNested || !below.paging.flags.contains(.pasid)
        {
            throw IOMMUError(
                .EINVAL, .ridNotPASIDCompatible,
                "device \(device.name) itself is attached to hwpt \(below.id), which was not allocated for PASIDs",
                hint: "replace it with an hwpt that was allocated with the flag pasid",
                ["hwpt": .number(UInt64(below.id)), "pasid": .number(UInt64(pasid))])
        }
        if device.group.devices.contains(where: { $0.sharedPASIDs.contains(pasid) }) {
            throw IOMMUError(
                .EBUSY, .pasidTaken, "PASID \(pasid) of device \(device.name) belongs to a shared address space",
                hint: "take another PASID; sva.list shows those in use",
                ["name": .text(device.name), "pasid": .number(UInt64(pasid))])
        }
    }

    static func wrongKind(_ object: SessionObject) -> IOMMUError {
        IOMMUError(
            .EINVAL, .wrongKind, "object \(object.id) is a \(object.kind.rawValue), and no device is attached to one",
            hint: "name an ioas or an hwpt",
            ["pt": .number(UInt64(object.id)), "kind": .text(object.kind.rawValue)])
    }

    static func unknownPT(_ id: ObjectID, _ errno: Errno) -> IOMMUError {
        IOMMUError(
            errno, .unknownPt, "there is no object \(id) in this session",
            hint: "session.objects lists what there is",
            ["pt": .number(UInt64(id))])
    }
}
