import IOMMU

/// The move of every device of a group, or of one PASID of it, to another target: prepared whole, then committed.
struct GroupSwitch {
    private let steps: [(driver: SMMUDriver, prepared: PreparedAttachment)]

    /// Everything that can fail; nothing visible changes.
    init(_ group: DeviceGroup, key: UInt32, to target: AttachTarget) throws(IOMMUError) {
        try self.init(group.devices, key: key, to: target)
    }

    init(_ devices: [EmulatedDevice], key: UInt32, to target: AttachTarget) throws(IOMMUError) {
        var steps: [(driver: SMMUDriver, prepared: PreparedAttachment)] = []
        do {
            for device in devices {
                let pasid = key == DeviceGroup.ridKey ? nil : key
                steps.append((device.driver, try device.driver.prepare(device.master, pasid: pasid, target: target)))
            }
        } catch {
            for step in steps.reversed() { step.driver.abandon(step.prepared) }
            throw error
        }
        self.steps = steps
    }

    func commit() {
        for step in steps { step.driver.commit(step.prepared) }
    }
}
