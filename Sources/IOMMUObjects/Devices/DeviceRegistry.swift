import IOMMU

/// The devices of a machine and their groups: what all contexts of a backend have in common.
package final class DeviceRegistry {
    /// The machine that they are in.
    package unowned let host: any ObjectHost
    /// In the order they were added.
    package private(set) var devices: [Device] = []
    /// By id.
    package private(set) var groups = IDTable<DeviceGroup>()
    private var devicesByName: [String: Device] = [:]
    /// By ``Device/number``.
    private var isNumberTaken: [Bool] = []

    /// - Parameter host: outlives the registry.
    package init(host: any ObjectHost) { self.host = host }

    deinit {
        // A group and its devices hold each other, and with them the drivers and the whole machine.
        for (_, group) in groups.all { group.devices = [] }
    }

    // MARK: Look-up

    /// `ENODEV` for an unknown name.
    package func device(named name: String) throws(IOMMUError) -> Device {
        guard let device = devicesByName[name] else {
            throw IOMMUError(
                .ENODEV, .unknownDevice, "there is no device “\(name)”", hint: "topology.list lists them",
                ["device": .text(name)])
        }
        return device
    }

    /// The group of that name, if any device is in it.
    package func group(named name: String) -> DeviceGroup? {
        groups.all.map(\.element).first { $0.name == name }
    }

    // MARK: Coming and going

    /// Takes a device on; one that joins an attached group goes where the group is.
    ///
    /// - Throws: what its driver says about that; then nothing has changed.
    package func insert(
        _ description: DeviceDescription, driver: any TranslationDriver, port: any TranslationPort
    ) throws(IOMMUError) -> Device {
        let known = description.group.flatMap { self.group(named: $0) }
        let group = known ?? makeGroup(named: description.group)
        let number = isNumberTaken.firstIndex(of: false) ?? isNumberTaken.count
        let device = Device(description, driver: driver, port: port, group: group, number: number)
        try follow(group, device)
        if number == isNumberTaken.count { isNumberTaken.append(true) } else { isNumberTaken[number] = true }
        group.devices.append(device)
        devices.append(device)
        devicesByName[device.name] = device
        return device
    }

    private func makeGroup(named name: String?) -> DeviceGroup {
        if let wanted = host.changeLedger?.next(.group) {
            let id = UInt32(truncatingIfNeeded: wanted)
            let group = DeviceGroup(id: id, name: name)
            if groups.insert(group, at: id) { return given(group) }
            host.changeLedger?.refuse()
        }
        let group = DeviceGroup(id: groups.nextID(), name: name)
        _ = groups.insert(group)
        return given(group)
    }

    private func given(_ group: DeviceGroup) -> DeviceGroup {
        host.changeLedger?.note(.group, UInt64(group.id))
        return group
    }

    private func follow(_ group: DeviceGroup, _ device: Device) throws(IOMMUError) {
        var done: [UInt32] = []
        for (key, attachment) in group.attachments.sorted(by: { $0.key < $1.key }) {
            do {
                try GroupSwitch([device], key: key, to: attachment.hwpt.target).commit()
                done.append(key)
            } catch {
                for key in done { device.block(key: key) }
                throw error
            }
        }
    }

    /// Lets a device go. If it is bound, its object stays in the session and answers ENODEV until it is unbound.
    package func remove(_ device: Device) {
        let context = device.boundBy
        if let context, let object = device.handle {
            context.buryingInBackground {
                for key in object.attachments.keys.sorted(by: >) { context.detach(object, key: key) }
            }
            if let vdevice = object.vdevice { context.bury(vdevice) }
        }
        // Siblings may keep the group attached; this device leaves it blocked.
        for key in device.group.attachments.keys { device.block(key: key) }
        context?.failFaults(of: device)
        device.isRemoved = true
        devices.removeAll { $0 === device }
        devicesByName[device.name] = nil
        isNumberTaken[device.number] = false
        device.group.devices.removeAll { $0 === device }
        if let context { context.leaveGroup(device) }
        if device.group.devices.isEmpty { groups.remove(device.group.id) }
    }
}
