import IOMMU
import LinuxIO
import SMMUv3

/// The devices of the machine, and their coming and going.
extension EmulatedBackend {
    /// `device.add`: hot plug.
    ///
    /// - Throws: `EEXIST` for a name or StreamID that is taken, `EINVAL` for what the SMMU cannot do.
    package func addDevice(_ description: DeviceDescription) throws(IOMMUError) {
        let device = try insert(description)
        emit(
            BackendEvent(
                .device, device: device.name, [.init("action", .text("added")), .init("name", .text(device.name))]))
    }

    /// `device.remove`: if it is bound, the unplugging of a device in use. Its object stays in the session and answers
    /// ENODEV until it is unbound.
    ///
    /// - Throws: `ENODEV` for an unknown name.
    package func removeDevice(named name: String) throws(IOMMUError) {
        let device = try self.device(named: name)
        let context = device.boundBy
        device.runRemovalHooks()
        if let context, let object = device.handle {
            for key in object.attachments.keys.sorted(by: >) { context.detach(object, key: key) }
            if let vdevice = object.vdevice { context.release(vdevice) }
        }
        // Siblings may keep the group attached; this device leaves it blocked.
        for key in device.group.attachments.keys { device.block(key: key) }
        context?.failFaults(of: device)
        device.isRemoved = true
        devices.removeAll { $0 === device }
        devicesByName[name] = nil
        device.group.devices.removeAll { $0 === device }
        device.driver.removeMaster(device.master)
        if let context { context.leaveGroup(device) }
        if device.group.devices.isEmpty { groups.remove(device.group.id) }
        emit(
            BackendEvent(
                .device, context: context.map { ObjectIdentifier($0) }, device: name,
                [.init("action", .text("removed")), .init("name", .text(name))]))
    }

    @discardableResult
    func insert(_ description: DeviceDescription) throws(IOMMUError) -> EmulatedDevice {
        let smmu = try check(description)
        let known = try group(for: description, on: smmu)
        let master = try smmu.driver.makeMaster(
            streamIDs: description.streamIDs,
            pasidBits: min(description.pasidBits, smmu.driver.features.substreamIDBits),
            stall: description.stall, pri: description.pri, ats: description.ats || description.pri)
        let group = known ?? makeGroup(named: description.group)
        let device = EmulatedDevice(description, smmu: smmu, master: master, group: group)
        do {
            try follow(group, device)
        } catch {
            smmu.driver.removeMaster(master)
            throw error
        }
        group.devices.append(device)
        devices.append(device)
        devicesByName[device.name] = device
        return device
    }

    /// A device that joins an attached group goes where the group is.
    private func follow(_ group: DeviceGroup, _ device: EmulatedDevice) throws(IOMMUError) {
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

    private func makeGroup(named name: String?) -> DeviceGroup {
        let group = DeviceGroup(id: groups.nextID(), name: name)
        _ = groups.insert(group)
        return group
    }

    private func group(for description: DeviceDescription, on smmu: EmulatedSMMU) throws(IOMMUError) -> DeviceGroup? {
        guard let name = description.group,
            let group = groups.all.map(\.element).first(where: { $0.name == name })
        else { return nil }
        guard group.devices.allSatisfy({ $0.smmu === smmu }) else {
            throw refusal(
                .EINVAL, "group_spans_smmus", "the devices of group \(name) are behind another SMMU", description)
        }
        return group
    }

    // MARK: Checks

    private func check(_ description: DeviceDescription) throws(IOMMUError) -> EmulatedSMMU {
        guard !description.name.isEmpty else {
            throw refusal(.EINVAL, "bad_name", "a device has a name", description)
        }
        guard devicesByName[description.name] == nil else {
            throw refusal(.EEXIST, "device_exists", "there is a device named \(description.name) already", description)
        }
        let smmu = try smmu(named: description.smmu)
        try checkStreams(description, smmu)
        let features = smmu.driver.features
        guard (0...features.substreamIDBits).contains(description.pasidBits) else {
            throw refusal(
                .EINVAL, "bad_pasid_bits",
                "\(smmu.name) takes SubstreamIDs of at most \(features.substreamIDBits) bits",
                description)
        }
        guard !description.stall || features.hasStall else {
            throw refusal(.EINVAL, "no_stall", "\(smmu.name) has no stall model", description)
        }
        guard !description.pri || features.hasPRI else {
            throw refusal(.EINVAL, "no_pri", "\(smmu.name) has no PRI queue", description)
        }
        guard !description.ats || features.hasATS else {
            throw refusal(.EINVAL, "no_ats", "\(smmu.name) has no ATS", description)
        }
        guard description.queues >= 0 else {
            throw refusal(.EINVAL, "bad_queues", "a number of queues is not negative", description)
        }
        return smmu
    }

    private func checkStreams(_ description: DeviceDescription, _ smmu: EmulatedSMMU) throws(IOMMUError) {
        guard !description.streamIDs.isEmpty else {
            throw refusal(.EINVAL, "no_stream_id", "a device has at least one StreamID", description)
        }
        guard Set(description.streamIDs).count == description.streamIDs.count else {
            throw refusal(.EINVAL, "stream_id_twice", "a StreamID is given twice", description)
        }
        for streamID in description.streamIDs {
            guard UInt64(streamID) >> UInt64(smmu.driver.features.streamIDBits) == 0 else {
                throw refusal(
                    .EINVAL, "bad_stream_id",
                    "StreamIDs of \(smmu.name) have \(smmu.driver.features.streamIDBits) bits",
                    description
                ).with("stream_id", .number(UInt64(streamID)))
            }
            if let other = device(onSMMU: smmu, streamID: streamID) {
                throw refusal(
                    .EEXIST, "stream_id_taken", "StreamID \(streamID) of \(smmu.name) belongs to \(other.name)",
                    description
                ).with("stream_id", .number(UInt64(streamID)))
            }
        }
    }

    private func refusal(
        _ errno: Errno, _ reason: String, _ message: String, _ description: DeviceDescription
    ) -> IOMMUError {
        IOMMUError(errno, reason, message, ["name": .text(description.name), "smmu": .text(description.smmu)])
    }
}
