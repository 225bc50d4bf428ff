import IOMMU
import SMMUv3

extension SMMUDriver {
    /// Checks and allocates for an attach, replace or detach; nothing visible changes.
    ///
    /// - Throws: `EINVAL`, `EBUSY`, `EOPNOTSUPP`, `ENOENT` for what cannot be combined, `ENOMEM`.
    package func prepare(
        _ master: Master, pasid: UInt32?, target: AttachTarget
    ) throws(IOMMUError) -> PreparedAttachment {
        if let pasid { try check(master, pasid: pasid, target) } else { try check(master, target) }
        let prepared = PreparedAttachment(master: master, pasid: pasid, target: target)
        do {
            try allocate(for: prepared)
        } catch {
            abandon(prepared)
            throw error
        }
        return prepared
    }

    /// Undoes what ``prepare(_:pasid:target:)`` allocated.
    package func abandon(_ prepared: PreparedAttachment) {
        if let leaf = prepared.newLeaf { (prepared.newContexts ?? prepared.master.contexts)?.releaseLeaf(leaf) }
        if prepared.madeSpare { prepared.master.contexts?.dropSpare() }
        prepared.newContexts?.destroy()
        (prepared.newLeaf, prepared.newContexts, prepared.madeSpare) = (nil, nil, false)
    }

    // MARK: Rules

    private func check(_ master: Master, _ target: AttachTarget) throws(IOMMUError) {
        switch target {
        case .blocked: return
        case .sva:
            throw IOMMUError(
                .EINVAL, .badPASID, "an address space of a process is bound without a PASID",
                hint: "give a PASID that the device has")
        case .paging(let domain, _):
            try checkSMMU(domain.driver)
            if domain.kind != .stage1 { try checkNoPASIDs(master) }
        case .nested(let domain, _):
            try checkSMMU(domain.viommu.driver)
            try checkNoPASIDs(master)
            guard domain.configuration != .stage1 || domain.viommu.virtualID(of: master) != nil else {
                throw IOMMUError(
                    .ENOENT, .vdeviceRequired, "the device has no virtual StreamID in the viommu",
                    hint: "give it one with vdevice.alloc first"
                )
            }
        }
    }

    private func check(_ master: Master, pasid: UInt32, _ target: AttachTarget) throws(IOMMUError) {
        if target.isBlocked { return }
        guard master.pasidBits > 0 else {
            throw IOMMUError(
                .EOPNOTSUPP, .noPASID, "the device has no PASIDs, and PASID \(pasid) is asked for",
                hint: "topology.list tells the pasid_bits of each device", ["pasid": .number(UInt64(pasid))])
        }
        guard pasid > 0, UInt64(pasid) < 1 << UInt64(master.pasidBits) else {
            throw IOMMUError(
                .EINVAL, .badPASID,
                "PASID \(pasid) is none of the device, which has 1 to \((1 << master.pasidBits) - 1)",
                hint: "take one of those",
                ["pasid": .number(UInt64(pasid))]
            )
        }
        switch target {
        case .blocked: return
        case .sva(let domain): try checkSMMU(domain.driver)
        case .nested: throw notForPASIDs(pasid)
        case .paging(let domain, _):
            try checkSMMU(domain.driver)
            guard domain.kind == .stage1, domain.allowsPASID else { throw notForPASIDs(pasid) }
        }
        let ownStage = master.attachment.pagingDomain?.stage
        guard ownStage != 2, master.attachment.nestedDomain == nil else {
            throw IOMMUError(
                .EINVAL, .deviceOnStage2,
                "the device itself is on stage 2 or nested, which has no room for PASID \(pasid)",
                hint: "detach it, or attach it to a stage 1 hwpt", ["pasid": .number(UInt64(pasid))]
            )
        }
    }

    private func notForPASIDs(_ pasid: UInt32) -> IOMMUError {
        IOMMUError(
            .EINVAL, .notPASIDCompatible, "the hwpt for PASID \(pasid) was not allocated for PASIDs",
            hint: "allocate it with the flag pasid", ["pasid": .number(UInt64(pasid))])
    }

    private func checkSMMU(_ driver: SMMUDriver) throws(IOMMUError) {
        guard driver === self else {
            throw IOMMUError(
                .EINVAL, .otherSMMU, "the hwpt is a table of \(driver.name), and the device is behind \(name)",
                hint: "allocate it with a device behind the same SMMU", ["smmu": .text(driver.name)])
        }
    }

    private func checkNoPASIDs(_ master: Master) throws(IOMMUError) {
        if let pasid = master.pasidAttachments.keys.min() {
            throw IOMMUError(
                .EBUSY, .pasidsInUse, "PASID \(pasid) of the device is attached, for which stage 2 has no room",
                hint: "detach its PASIDs first", ["pasid": .number(UInt64(pasid))]
            )
        }
    }

    // MARK: Allocation

    private func allocate(for prepared: PreparedAttachment) throws(IOMMUError) {
        let master = prepared.master
        guard let context = context(for: prepared) else { return }
        let substream = prepared.pasid ?? 0
        if master.contexts == nil {
            prepared.newContexts = try ContextTables(bits: master.pasidBits, features: features, memory: memory)
        }
        guard let contexts = prepared.newContexts ?? master.contexts else { return }
        if !contexts.hasLeaf(for: substream) { prepared.newLeaf = try contexts.allocateLeaf() }
        if master.usesContexts, !contexts.isHitless(substream, to: context) {
            prepared.madeSpare = try contexts.prepareSpare()
        }
    }

    /// The CD that an attachment needs; nil if it needs none.
    func context(for prepared: PreparedAttachment) -> ContextDescriptor? {
        switch prepared.target {
        case .paging(let domain, _) where domain.kind == .stage1:
            pagingContext(domain, master: prepared.master)
        case .sva(let domain): svaContext(domain, master: prepared.master)
        default: nil
        }
    }
}
