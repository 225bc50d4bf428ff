import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUv3

/// The SMMUv3 driver as the object model sees it.
extension SMMUDriver: TranslationDriver {
    /// What the ID registers offer (IHI 0070, 6.3.1 and following).
    package var traits: DriverTraits {
        DriverTraits(
            hasNesting: features.hasNesting, hasDirtyTracking: features.hasHardwareDirty,
            pasidBits: features.hasStage1 ? features.substreamIDBits : 0, virtualType: "arm_smmuv3")
    }

    /// The shape of a table that an attach makes: stage 1 where there is one.
    package var automaticFormat: DomainFormat {
        let format = format(of: preferredKind)
        return DomainFormat(aperture: format.aperture, pageSizes: format.pageSizes)
    }

    /// IDR0 to IDR5, IIDR and AIDR, and what can be done with this device: `struct iommu_hw_info_arm_smmuv3`.
    package func hardwareInfo(of device: DeviceDescription) -> HardwareInfo {
        var capabilities: [String] = []
        if features.hasHardwareDirty { capabilities.append("dirty_tracking") }
        if !device.ats, !device.pri { capabilities.append("ats_not_supported") }
        return HardwareInfo(
            type: "arm_smmuv3", idr: features.idr, iidr: port.read(.IIDR), aidr: port.read(.AIDR),
            capabilities: capabilities, maxPASIDLog2: min(device.pasidBits, traits.pasidBits))
    }

    /// An empty page table of the host.
    ///
    /// - Throws: `EOPNOTSUPP` for what the SMMU does not have, `ENOSPC` without a tag, `ENOMEM`, `EDQUOT`.
    package func makeDomain(
        _ flags: HWPTFlags, for account: Account
    ) throws(IOMMUError) -> any TranslationDomain {
        try makePagingDomain(
            flags.contains(.nestParent) ? .nestParent : preferredKind, dirtyTracking: flags.contains(.dirtyTracking),
            pasid: flags.contains(.pasid), for: account)
    }

    /// A virtual SMMU over a stage 2.
    ///
    /// - Throws: `EINVAL` for a table of another SMMU, or one that is no parent of stages 1; `EOPNOTSUPP` without
    ///   nesting.
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
    /// Invalidates by its tag, then frees the tables and the tag; nothing is attached to it any more.
    package func destroy() { driver.destroy(self) }

    /// What was dirty before a restart is not known.
    package func markDirty() { table.markDirty() }

    package func prepare(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) throws(IOMMUError) {
        try table.prepare(run: iova, pa: pa, length: length, hugePages: hugePages)
    }

    package func withdraw(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) {
        table.withdraw(run: iova, pa: pa, length: length, hugePages: hugePages, gather: &gather.pointee)
    }

    package func fill(run iova: UInt64, pa: UInt64, length: UInt64, access: IOMMU.Access, hugePages: Bool) {
        table.fill(run: iova, pa: pa, length: length, access: access, hugePages: hugePages)
    }

    package func endPieces() {
        guard !gather.pointee.isEmpty else { return }
        driver.invalidate(self, &gather.pointee, settles: false)
    }

    package func giveBack(_ budget: inout TurnBudget) -> Bool { driver.memory.giveBack(&budget) }

    package func dismantle(_ budget: inout TurnBudget) -> Bool {
        // What was unmapped and not yet forgotten: without users nothing is cached.
        endPieces()
        return table.dismantle(&budget) && driver.memory.giveBack(&budget)
    }
}

extension NestedDomain: NestedTranslation {
    /// Only a stage 1 of the guest (STE.Config = 0b101) makes faults that name a virtual StreamID.
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
    /// The guest knows the device by this StreamID.
    ///
    /// - Throws: `EINVAL` for more than 32 bits, or a device behind another SMMU.
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

    /// The guest knows no device by this StreamID any more.
    package func removeVDevice(_ virtualID: UInt64) {
        if let streamID = UInt32(exactly: virtualID) { removeVDevice(virtualID: streamID) }
    }

    /// A guest's stage 1.
    ///
    /// - Parameter data: words 0 and 1 of its STE (IHI 0070, 5.2).
    /// - Throws: `EIO` for bits that are not the guest's.
    package func makeNested(_ data: (UInt64, UInt64)) throws(IOMMUError) -> any NestedTranslation {
        try driver.makeNestedDomain(self, vste: data)
    }
}

// MARK: - Devices

extension Master: TranslationPort {
    /// Does all of an attach or replace that can fail.
    ///
    /// - Parameter pasid: nil: accesses without a PASID.
    /// - Throws: `EINVAL` for a table of another SMMU, `ENOMEM`, and what the target does not allow.
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

    /// Detaches: accesses end from now on, and nothing that was cached is left.
    package func block(pasid: UInt32?) { driver.detach(self, pasid: pasid) }

    /// Answers a page fault: CMD_RESUME or CMD_PRI_RESP (IHI 0070, 4.7.1, 4.5.2).
    ///
    /// - Parameter success: try again; else the access ends.
    package func respond(to fault: FaultToken, success: Bool) {
        driver.respond(to: DriverFault.Tag(fault), success: success)
    }
}

extension PreparedAttachment: PreparedTranslation {
    /// Makes it so; nothing can fail any more.
    package func commit() { master.driver.commit(self) }
    /// Gives back what was allocated for it.
    package func abandon() { master.driver.abandon(self) }
}
