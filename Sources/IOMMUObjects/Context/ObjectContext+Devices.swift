import IOMMU

extension ObjectContext {
    // MARK: Bind

    package func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32?) {
        let device = try registry.device(named: name)
        if let problem = bindingProblem(of: device) { throw problem }
        try chargeObject()
        let object = DeviceObject(device)
        table.insert(object)
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
        guard device.description.coherent else {
            return IOMMUError(
                .EINVAL, .notCacheCoherent, "device \(device.name) is not cache-coherent with the processors",
                hint: "only coherent devices can be bound", ["name": .text(device.name)])
        }
        if let owner = device.group.owner, owner !== self { return ownedElsewhere(device, owner) }
        return nil
    }

    func ownedElsewhere(_ device: Device, _ owner: ObjectContext) -> IOMMUError {
        let holder = device.boundBy == nil ? device.group.devices.first { $0.boundBy === owner } : device
        let sibling = holder?.name ?? device.name
        let what =
            sibling == device.name ? "device \(sibling)" : "device \(sibling) of the same group \(device.group.id)"
        return IOMMUError(
            .EBUSY, .groupOwnedElsewhere, "\(what) is bound by \(owner.owner)",
            hint: "a group belongs to one session at a time: unbind it there first",
            [
                "name": .text(device.name), "group": .number(UInt64(device.group.id)), "sibling": .text(sibling),
                "session": .text(owner.owner),
            ])
    }

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
            if let vdevice = object.vdevice { release(vdevice) }
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

    package func name(ofDevice device: ObjectID) throws(IOMMUError) -> String {
        try table.object(device, .device, as: DeviceObject.self).device.name
    }

    package func hardwareInfo(device id: ObjectID) throws(IOMMUError) -> HardwareInfo {
        let device = try device(id)
        return device.driver.hardwareInfo(of: device.description)
    }
}
