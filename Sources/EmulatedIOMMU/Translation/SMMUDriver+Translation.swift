import IOMMU
import IOMMUObjects
import SMMUv3

/// The SMMUv3 driver as the object model sees it.
extension SMMUDriver: TranslationDriver {
    package var traits: DriverTraits {
        DriverTraits(
            hasNesting: features.hasNesting, hasDirtyTracking: features.hasHardwareDirty,
            pasidBits: features.hasStage1 ? features.substreamIDBits : 0, virtualType: "arm_smmuv3")
    }

    package var automaticFormat: DomainFormat {
        let format = format(of: preferredKind)
        return DomainFormat(aperture: format.aperture, pageSizes: format.pageSizes)
    }

    package func hardwareInfo(of device: DeviceDescription) -> HardwareInfo {
        var capabilities: [String] = []
        if features.hasHardwareDirty { capabilities.append("dirty_tracking") }
        if !device.ats, !device.pri { capabilities.append("ats_not_supported") }
        return HardwareInfo(
            type: "arm_smmuv3", idr: features.idr, iidr: port.read(.IIDR), aidr: port.read(.AIDR),
            capabilities: capabilities, maxPASIDLog2: min(device.pasidBits, traits.pasidBits))
    }

    package func makeDomain(_ flags: HWPTFlags) throws(IOMMUError) -> any TranslationDomain {
        try makePagingDomain(
            flags.contains(.nestParent) ? .nestParent : preferredKind, dirtyTracking: flags.contains(.dirtyTracking),
            pasid: flags.contains(.pasid))
    }

    package func makeSlice(
        over parent: any TranslationDomain
    ) throws(IOMMUError) -> any GuestSlice {
        guard let domain = parent as? PagingDomain else { throw foreignDomain }
        return try makeViommu(parent: domain)
    }

    /// What was made by another kind of driver.
    fileprivate var foreignDomain: IOMMUError {
        IOMMUError(
            .EINVAL, .otherSMMU, "the translation is not one of \(name)",
            hint: "allocate it with a device behind the same SMMU", ["smmu": .text(name)])
    }
}

extension PagingDomain: TranslationDomain {
    package func destroy() { driver.destroy(self) }
}

extension NestedDomain: NestedTranslation {
    package var needsVirtualID: Bool { configuration == .stage1 }
}

extension IOMMUError {
    /// `EINVAL`: a viommu serves devices of its own SMMU.
    static var deviceOfOtherSMMU: IOMMUError {
        IOMMUError(
            .EINVAL, .otherSMMU, "the device is behind another SMMU than the viommu",
            hint: "make a viommu with this device")
    }
}

extension DriverVIOMMU: GuestSlice {
    package func setVDevice(_ virtualID: UInt64, port: any TranslationPort) throws(IOMMUError) {
        guard let master = port as? Master else {
            throw .deviceOfOtherSMMU
        }
        guard let streamID = UInt32(exactly: virtualID) else {
            throw IOMMUError(
                .EINVAL, .badVirtualID, "virtual StreamID \(virtualID) has more than 32 bits",
                hint: "take the StreamID that the guest's firmware tables name", ["virt_id": .number(virtualID)])
        }
        try setVDevice(virtualID: streamID, master: master)
    }

    package func removeVDevice(_ virtualID: UInt64) {
        if let streamID = UInt32(exactly: virtualID) { removeVDevice(virtualID: streamID) }
    }

    package func makeNested(_ data: (UInt64, UInt64)) throws(IOMMUError) -> any NestedTranslation {
        try driver.makeNestedDomain(self, vste: data)
    }
}

// MARK: - Devices

extension Master: TranslationPort {
    package func prepare(
        pasid: UInt32?, target: TranslationTarget
    ) throws(IOMMUError) -> any PreparedTranslation {
        try driver.prepare(self, pasid: pasid, target: try attachTarget(target))
    }

    private func attachTarget(_ target: TranslationTarget) throws(IOMMUError) -> AttachTarget {
        switch target {
        case .domain(let domain, let faults):
            guard let domain = domain as? PagingDomain else { throw driver.foreignDomain }
            return .paging(domain, faults: faults)
        case .nested(let domain, let faults):
            guard let domain = domain as? NestedDomain else { throw driver.foreignDomain }
            return .nested(domain, faults: faults)
        }
    }

    package func block(pasid: UInt32?) { driver.detach(self, pasid: pasid) }

    package func respond(to fault: FaultToken, success: Bool) {
        driver.respond(to: DriverFault.Tag(fault), success: success)
    }
}

extension PreparedAttachment: PreparedTranslation {
    package func commit() { master.driver.commit(self) }
    package func abandon() { master.driver.abandon(self) }
}
