import IOMMU

extension ObjectContext {
    // MARK: Attach

    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of a device, or PASID, that has none.
    ///
    /// - Throws: `ENOENT`, `ENODEV`; `EBUSY` if it is attached, `EINVAL` where group, PASID or hwpt do not fit,
    ///   `EADDRINUSE` where mappings meet reserved regions, and what its driver says. Then nothing has changed.
    package func attach(device id: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID {
        let object = try deviceObject(id)
        let key = try AttachRules.key(object.device, pasid: pasid)
        try checkTarget(pt, for: id)
        if let hwpt = object.attachments[key] {
            throw IOMMUError(
                .EBUSY, .alreadyAttached, "device \(object.device.name) is attached to hwpt \(hwpt.id)",
                hint: "move it with device.replace, without a gap",
                ["device": .number(UInt64(id)), "hwpt": .number(UInt64(hwpt.id))])
        }
        do throws(IOMMUError) {
            let target = try resolve(pt, for: object, key: key)
            do {
                try attach(object, to: target.hwpt, key: key)
            } catch {
                if target.isNew { release(target.hwpt) }
                throw error
            }
            return target.hwpt.id
        } catch {
            throw error.with("device", .number(UInt64(id)))
        }
    }

    private func attach(_ object: DeviceObject, to hwpt: HWPT, key: UInt32) throws(IOMMUError) {
        let group = object.device.group
        try AttachRules.check(hwpt, on: object.device, key: key)
        if let attachment = group.attachments[key], attachment.hwpt !== hwpt {
            throw groupElsewhere(object, attachment)
        }
        let reservations = key == DeviceGroup.ridKey ? Reservation.regions(of: object.device, owner: object) : []
        try hwpt.paging.ioas.check(reservations)
        if let attachment = group.attachments[key] {
            attachment.devices.append(object)
        } else {
            try GroupSwitch(group, key: key, to: hwpt.target).commit()
            group.attachments[key] = GroupAttachment(hwpt: hwpt, devices: [object])
            if key == DeviceGroup.ridKey { group.nameEvents(through: hwpt) }
        }
        hwpt.paging.ioas.add(reservations)
        object.attachments[key] = hwpt
        hwpt.attachmentsChanged(by: 1)
    }

    private func groupElsewhere(_ object: DeviceObject, _ attachment: GroupAttachment) -> IOMMUError {
        let sibling = attachment.devices.first?.device.name ?? ""
        return IOMMUError(
            .EINVAL, .groupAttachedElsewhere,
            "group \(object.device.group.id) is attached to hwpt \(attachment.hwpt.id) already, by \(sibling)",
            hint: "attach to that hwpt, or move the group with device.replace",
            [
                "group": .number(UInt64(object.device.group.id)), "hwpt": .number(UInt64(attachment.hwpt.id)),
                "sibling": .text(sibling),
            ])
    }

    /// `ENOENT`, `EINVAL`: whether `pt` is something to attach to, before how the device is attached matters.
    private func checkTarget(_ pt: ObjectID, for device: ObjectID) throws(IOMMUError) {
        guard let target = table[pt] else {
            throw AttachRules.unknownPT(pt, .ENOENT).with("device", .number(UInt64(device)))
        }
        guard target is HWPT || target is IOAS else {
            throw AttachRules.wrongKind(target).with("device", .number(UInt64(device)))
        }
    }

    /// The hwpt that `pt` stands for; an IOAS's automatic one is reused or made.
    private func resolve(
        _ pt: ObjectID, for object: DeviceObject, key: UInt32
    ) throws(IOMMUError) -> (hwpt: HWPT, isNew: Bool) {
        guard let target = table[pt] else { throw AttachRules.unknownPT(pt, .ENOENT) }
        if let hwpt = target as? HWPT { return (hwpt, false) }
        guard let ioas = target as? IOAS else { throw AttachRules.wrongKind(target) }
        guard key == DeviceGroup.ridKey else {
            throw IOMMUError(
                .EINVAL, .notPASIDCompatible, "ioas \(pt) cannot be attached to PASID \(key)",
                hint: "allocate an hwpt over it with the flag pasid, and attach that", ["ioas": .number(UInt64(pt))])
        }
        if let hwpt = ioas.automaticHWPT(of: object.device.driver) { return (hwpt, false) }
        // A table that could not be used is not worth making.
        if let attachment = object.device.group.attachments[key], object.attachments[key] == nil {
            throw groupElsewhere(object, attachment)
        }
        return (try makeHWPT(over: ioas, by: object.device.driver, flags: [], faultQueue: nil, isAutomatic: true), true)
    }

    /// What an attach of a device to an IOAS would make first, without mappings; nil where it would make nothing, or
    /// would be refused before.
    func emptyHWPT(toAttach id: ObjectID, to ioas: IOAS, pasid: UInt32?) throws(IOMMUError) -> PagingHWPT? {
        guard pasid == nil, let object = try? deviceObject(id), object.attachments[DeviceGroup.ridKey] == nil,
            object.device.group.attachments[DeviceGroup.ridKey] == nil
        else { return nil }
        return try emptyHWPT(of: ioas, for: object)
    }

    /// As ``emptyHWPT(toAttach:to:pasid:)``, of a replace.
    func emptyHWPT(toReplace id: ObjectID, with ioas: IOAS, pasid: UInt32?) throws(IOMMUError) -> PagingHWPT? {
        guard pasid == nil, let object = try? deviceObject(id), object.attachments[DeviceGroup.ridKey] != nil else {
            return nil
        }
        return try emptyHWPT(of: ioas, for: object)
    }

    private func emptyHWPT(of ioas: IOAS, for object: DeviceObject) throws(IOMMUError) -> PagingHWPT? {
        guard ioas.automaticHWPT(of: object.device.driver) == nil else { return nil }
        do {
            return try makeEmptyHWPT(
                over: ioas, by: object.device.driver, flags: [], faultQueue: nil, isAutomatic: true)
        } catch {
            throw error.with("device", .number(UInt64(object.id)))
        }
    }

    // MARK: Replace

    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of what is attached: the whole group moves at once.
    ///
    /// - Throws: as ``attach(device:to:pasid:)``, and `EINVAL` if it is not attached; then the old one is still at
    ///   work.
    package func replace(device id: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID {
        let object = try deviceObject(id)
        let key = try AttachRules.key(object.device, pasid: pasid)
        try checkTarget(pt, for: id)
        guard object.attachments[key] != nil, let attachment = object.device.group.attachments[key] else {
            throw IOMMUError(
                .EINVAL, .notAttached,
                "\(pasid.map { "PASID \($0) of " } ?? "")device \(object.device.name) is not attached",
                hint: "call device.attach instead", ["name": .text(object.device.name), "device": .number(UInt64(id))])
        }
        do throws(IOMMUError) {
            let target = try resolve(pt, for: object, key: key)
            guard target.hwpt !== attachment.hwpt else { return target.hwpt.id }
            do {
                try replace(object.device.group, attachment, with: target.hwpt, key: key)
            } catch {
                if target.isNew { release(target.hwpt) }
                throw error
            }
            return target.hwpt.id
        } catch {
            throw error.with("device", .number(UInt64(id)))
        }
    }

    private func replace(
        _ group: DeviceGroup, _ attachment: GroupAttachment, with hwpt: HWPT, key: UInt32
    ) throws(IOMMUError) {
        let old = attachment.hwpt
        for object in attachment.devices { try AttachRules.check(hwpt, on: object.device, key: key) }
        let (oldIOAS, ioas) = (old.paging.ioas, hwpt.paging.ioas)
        var reservations: [Reservation] = []
        if key == DeviceGroup.ridKey, oldIOAS !== ioas {
            for object in attachment.devices {
                reservations.append(contentsOf: Reservation.regions(of: object.device, owner: object))
            }
        }
        try ioas.check(reservations)
        try GroupSwitch(group, key: key, to: hwpt.target).commit()
        ioas.add(reservations)
        attachment.hwpt = hwpt
        if key == DeviceGroup.ridKey { group.nameEvents(through: hwpt) }
        for object in attachment.devices {
            if key == DeviceGroup.ridKey, oldIOAS !== ioas { oldIOAS.removeReservations(of: object) }
            object.attachments[key] = hwpt
        }
        hwpt.attachmentsChanged(by: attachment.devices.count)
        old.attachmentsChanged(by: -attachment.devices.count)
        failFaults(of: group, key: key, through: old)
        releaseIfAbandoned(old)
    }

    // MARK: Detach

    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`; nothing changes if it is not attached. `ENOENT`, `ENODEV`.
    package func detach(device id: ObjectID, pasid: UInt32?) throws(IOMMUError) {
        let object = try deviceObject(id)
        let key = try AttachRules.key(object.device, pasid: pasid)
        detach(object, key: key)
    }

    /// The group is blocked with its last device; nothing changes if this one is not attached.
    func detach(_ object: DeviceObject, key: UInt32) {
        let group = object.device.group
        guard let hwpt = object.attachments.removeValue(forKey: key), let attachment = group.attachments[key] else {
            return
        }
        attachment.devices.removeAll { $0 === object }
        if attachment.devices.isEmpty {
            group.attachments[key] = nil
            for device in group.devices { device.block(key: key) }
            if key == DeviceGroup.ridKey { group.nameEvents(through: nil) }
            failFaults(of: group, key: key, through: hwpt)
        } else {
            hwpt.faultQueue?.failAll(of: object.device, pasid: key == DeviceGroup.ridKey ? nil : key, hwpt: hwpt)
        }
        if key == DeviceGroup.ridKey { hwpt.paging.ioas.removeReservations(of: object) }
        hwpt.attachmentsChanged(by: -1)
        releaseIfAbandoned(hwpt)
    }

    /// Answers what a device has open that goes while its group stays attached, by itself or by siblings.
    func failFaults(of device: Device) {
        for (key, attachment) in device.group.attachments {
            let hwpt = attachment.hwpt
            hwpt.faultQueue?.failAll(of: device, pasid: key == DeviceGroup.ridKey ? nil : key, hwpt: hwpt)
        }
    }

    private func failFaults(of group: DeviceGroup, key: UInt32, through hwpt: HWPT) {
        guard let queue = hwpt.faultQueue else { return }
        for device in group.devices {
            queue.failAll(of: device, pasid: key == DeviceGroup.ridKey ? nil : key, hwpt: hwpt)
        }
    }

    /// An automatic hwpt goes with its last device.
    private func releaseIfAbandoned(_ hwpt: HWPT) {
        guard let paging = hwpt as? PagingHWPT, paging.isAutomatic, paging.users == 0 else { return }
        release(paging)
    }
}
