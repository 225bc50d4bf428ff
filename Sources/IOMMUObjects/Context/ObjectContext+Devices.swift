import IOMMU

extension ObjectContext {
    // MARK: Bind

    /// `VFIO_DEVICE_BIND_IOMMUFD`. `ENODEV` for an unknown name, `EBUSY` for what somebody has, `EINVAL` for a device
    /// that is not coherent or that the firmware uses, `EDQUOT`.
    package func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32?) {
        let device = try registry.device(named: name)
        if let problem = bindingProblem(of: device) { throw problem }
        try chargeObject()
        let object = DeviceObject(device)
        enter(object)
        device.group.owner = self
        device.boundBy = self
        device.handle = object
        emit(.device(DeviceEvent(name: name, action: .bound)))
        return (object.id, device.group.id)
    }

    /// Why `device` cannot be bound by this context; nil if it can.
    func bindingProblem(of device: Device) -> IOMMUError? {
        if device.boundBy === self {
            return IOMMUError(
                .EBUSY, .alreadyBound, "device \(device.name) is bound by this session already",
                hint: "go on with its device object, or end that with device.unbind",
                ["name": .text(device.name), "device": .number(UInt64(device.handle?.id ?? 0))])
        }
        guard device.description.coherent else { return incoherence(of: device) }
        if let problem = directRegionProblems(of: device).first { return problem }
        if let owner = device.group.owner, owner !== self { return ownedElsewhere(device, owner) }
        return nil
    }

    func incoherence(of device: Device) -> IOMMUError {
        IOMMUError(
            .EINVAL, .notCacheCoherent, "device \(device.name) is not cache-coherent with the processors",
            hint: "bind a device that is: topology.list says which are coherent", ["name": .text(device.name)])
    }

    /// The regions that the firmware goes on using through this device or a sibling: whoever binds it would take them
    /// away (`require_direct`).
    func directRegionProblems(of device: Device) -> [IOMMUError] {
        device.group.devices.flatMap { member in
            member.description.reserved.filter { $0.kind == .direct }.map { region in
                let what = "device \(member.name)" + (member === device ? "" : " of the same group \(device.group.id)")
                return IOMMUError(
                    .EINVAL, .directRegion,
                    "the firmware uses memory at \(hexadecimal(region.range.start)) through \(what)",
                    hint: "such a device stays with the system; only direct_relaxable regions can be given up",
                    [
                        "name": .text(device.name), "device": .text(member.name),
                        "region": .object([
                            .init("start", .hex(region.range.start)), .init("last", .hex(region.range.last)),
                            .init("type", .text(region.kind.rawValue)),
                        ]),
                    ])
            }
        }
    }

    func ownedElsewhere(_ device: Device, _ owner: ObjectContext) -> IOMMUError {
        let held = device.boundBy == nil ? device.group.devices.first { $0.boundBy === owner } : device
        let sibling = held?.name ?? device.name
        let holder = owner.holder.text(for: account)
        let what =
            sibling == device.name ? "device \(sibling)" : "device \(sibling) of the same group \(device.group.id)"
        return IOMMUError(
            .EBUSY, .groupOwnedElsewhere, "\(what) is bound by \(holder)",
            hint: "a group belongs to one session at a time: unbind it there first",
            [
                "name": .text(device.name), "group": .number(UInt64(device.group.id)), "sibling": .text(sibling),
                "session": .text(holder),
            ])
    }

    /// Like closing the vfio descriptor: the device is detached, and blocked with its group. `ENOENT`.
    package func unbind(device id: ObjectID) throws(IOMMUError) {
        unbind(try table.object(id, .device, as: DeviceObject.self))
    }

    /// Like closing the vfio descriptor; a removed device's object goes too.
    func unbind(_ object: DeviceObject) {
        let device = object.device
        for companion in companions { companion.release(device: device) }
        if !device.isRemoved {
            for key in object.attachments.keys.sorted(by: >) { detach(object, key: key) }
            failFaults(of: device)
            if let vdevice = object.vdevice { bury(vdevice) }
            leaveGroup(device)
            emit(.device(DeviceEvent(name: device.name, action: .unbound)))
        }
        table.remove(object)
        releaseObject()
    }

    /// The device is nobody's any more, nor is its group if that was the last one.
    func leaveGroup(_ device: Device) {
        device.boundBy = nil
        device.handle = nil
        if !device.group.devices.contains(where: { $0.boundBy === self }) { device.group.owner = nil }
    }

    // MARK: Facts

    /// The name of a bound device, unplugged or not. `ENOENT`.
    package func name(ofDevice device: ObjectID) throws(IOMMUError) -> String {
        try table.object(device, .device, as: DeviceObject.self).device.name
    }

    /// `IOMMU_GET_HW_INFO`. `ENOENT`, `ENODEV`.
    package func hardwareInfo(device id: ObjectID) throws(IOMMUError) -> HardwareInfo {
        let device = try device(id)
        return device.driver.hardwareInfo(of: device.description)
    }
}
