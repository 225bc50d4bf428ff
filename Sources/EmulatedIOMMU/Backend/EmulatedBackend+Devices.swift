import IOMMU
import IOMMUObjects
import SMMUv3

/// The devices of the machine, and their coming and going.
extension EmulatedBackend {
    /// `device.add`: hot plug.
    ///
    /// - Throws: what ``TopologyRules`` say against it, or `ENOMEM`.
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
        index.remove(device.description)
        device.driver.removeMaster(device.master)
        slots[device.device.number] = nil
        notePASIDWidths()
        emit(BackendEvent(.device(DeviceEvent(name: name, action: .removed)), context: context?.id))
    }

    @discardableResult
    func insert(_ description: DeviceDescription) throws(IOMMUError) -> EmulatedDevice {
        if let problem = index.problem(with: description) { throw problem.refusal(of: description) }
        let smmu = try smmu(named: description.smmu)
        let master = try smmu.driver.makeMaster(
            streamIDs: description.streamIDs,
            pasidBits: min(description.pasidBits, smmu.driver.features.substreamIDBits),
            stall: description.stall, pri: description.pri, ats: description.ats || description.pri)
        do {
            let device = EmulatedDevice(
                try registry.insert(description, driver: smmu.driver, port: master), smmu: smmu, master: master)
            let number = device.device.number
            if number == slots.count { slots.append(device) } else { slots[number] = device }
            notePASIDWidths()
            _ = index.add(description)
            return device
        } catch {
            smmu.driver.removeMaster(master)
            throw error
        }
    }
}
