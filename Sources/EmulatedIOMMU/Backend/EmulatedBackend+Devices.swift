import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUv3

/// The devices of the machine, and their coming and going.
extension EmulatedBackend {
    /// `device.add`: hot plug.
    ///
    /// - Throws: `EEXIST` for a name or StreamID that is taken, `EINVAL` for what the SMMU cannot do.
    package func addDevice(_ description: DeviceDescription) throws(IOMMUError) {
        let device = try insert(description)
        emit(BackendEvent(.device(DeviceEvent(name: device.name, action: .added))))
    }

    /// `device.remove`: if it is bound, the unplugging of a device in use. Its object stays in the session and answers
    /// ENODEV until it is unbound.
    ///
    /// - Throws: `ENODEV` for an unknown name.
    package func removeDevice(named name: String) throws(IOMMUError) {
        let device = try self.device(named: name)
        let context = device.device.boundBy
        device.runRemovalHooks()
        registry.remove(device.device)
        device.driver.removeMaster(device.master)
        slots[device.device.number] = nil
        emit(BackendEvent(.device(DeviceEvent(name: name, action: .removed)), context: context?.id))
    }

    @discardableResult
    func insert(_ description: DeviceDescription) throws(IOMMUError) -> EmulatedDevice {
        let smmu = try check(description)
        let master = try smmu.driver.makeMaster(
            streamIDs: description.streamIDs,
            pasidBits: min(description.pasidBits, smmu.driver.features.substreamIDBits),
            stall: description.stall, pri: description.pri, ats: description.ats || description.pri)
        do {
            let device = EmulatedDevice(
                try registry.insert(description, driver: smmu.driver, port: master), smmu: smmu, master: master)
            let number = device.device.number
            if number == slots.count { slots.append(device) } else { slots[number] = device }
            return device
        } catch {
            smmu.driver.removeMaster(master)
            throw error
        }
    }

    private func checkGroup(of description: DeviceDescription, _ smmu: EmulatedSMMU) throws(IOMMUError) {
        guard let name = description.group, let group = registry.group(named: name) else { return }
        guard group.devices.allSatisfy({ $0.driver === smmu.driver }) else {
            throw refusal(
                .EINVAL, .groupSpansSmmus, "the devices of group \(name) are behind another SMMU", description)
        }
    }

    // MARK: Checks

    private func check(_ description: DeviceDescription) throws(IOMMUError) -> EmulatedSMMU {
        guard !description.name.isEmpty else {
            throw refusal(.EINVAL, .badName, "a device has a name", description)
        }
        guard !registry.hasDevice(named: description.name) else {
            throw refusal(.EEXIST, .deviceExists, "there is a device named \(description.name) already", description)
        }
        let smmu = try smmu(named: description.smmu)
        try checkStreams(description, smmu)
        let features = smmu.driver.features
        guard (0...features.substreamIDBits).contains(description.pasidBits) else {
            throw refusal(
                .EINVAL, .badPASIDBits,
                "\(smmu.name) takes SubstreamIDs of at most \(features.substreamIDBits) bits",
                description)
        }
        guard !description.stall || features.hasStall else {
            throw refusal(.EINVAL, .noStall, "\(smmu.name) has no stall model", description)
        }
        guard !description.pri || features.hasPRI else {
            throw refusal(.EINVAL, .noPRI, "\(smmu.name) has no PRI queue", description)
        }
        guard !description.ats || features.hasATS else {
            throw refusal(.EINVAL, .noATS, "\(smmu.name) has no ATS", description)
        }
        guard description.queues >= 0 else {
            throw refusal(.EINVAL, .badQueues, "a number of queues is not negative", description)
        }
        try checkGroup(of: description, smmu)
        return smmu
    }

    private func checkStreams(_ description: DeviceDescription, _ smmu: EmulatedSMMU) throws(IOMMUError) {
        guard !description.streamIDs.isEmpty else {
            throw refusal(.EINVAL, .noStreamID, "a device has at least one StreamID", description)
        }
        guard Set(description.streamIDs).count == description.streamIDs.count else {
            throw refusal(.EINVAL, .streamIDTwice, "a StreamID is given twice", description)
        }
        for streamID in description.streamIDs {
            guard UInt64(streamID) >> UInt64(smmu.driver.features.streamIDBits) == 0 else {
                throw refusal(
                    .EINVAL, .badStreamID,
                    "StreamIDs of \(smmu.name) have \(smmu.driver.features.streamIDBits) bits",
                    description
                ).with("stream_id", .number(UInt64(streamID)))
            }
            if let other = device(onSMMU: smmu, streamID: streamID) {
                throw refusal(
                    .EEXIST, .streamIDTaken, "StreamID \(streamID) of \(smmu.name) belongs to \(other.name)",
                    description
                ).with("stream_id", .number(UInt64(streamID)))
            }
        }
    }

    private func refusal(
        _ errno: Errno, _ reason: Reason, _ message: String, _ description: DeviceDescription
    ) -> IOMMUError {
        IOMMUError(errno, reason, message, ["name": .text(description.name), "smmu": .text(description.smmu)])
    }
}
