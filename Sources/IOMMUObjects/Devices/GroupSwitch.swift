import IOMMU

/// The move of every device of a group, or of one PASID of it, to another target: prepared whole, then committed.
struct GroupSwitch {
    private let steps: [any PreparedTranslation]

    /// Everything that can fail; nothing visible changes.
    init(_ group: DeviceGroup, key: UInt32, to target: TranslationTarget) throws(IOMMUError) {
        try self.init(group.devices, key: key, to: target)
    }

    init(_ devices: [Device], key: UInt32, to target: TranslationTarget) throws(IOMMUError) {
        var steps: [any PreparedTranslation] = []
        let pasid = key == DeviceGroup.ridKey ? nil : key
        do {
            // A device without PASIDs can send none: it has no part in those of its siblings.
            for device in devices where pasid == nil || device.pasidBits > 0 {
                steps.append(try device.port.prepare(pasid: pasid, target: target))
            }
        } catch {
            for step in steps.reversed() { step.abandon() }
            throw error
        }
        self.steps = steps
    }

    func commit() {
        for step in steps { step.commit() }
    }
}
