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
            throw IOMMUError(.EINVAL, .svaNeedsPASID, "an address space of a process is bound to a PASID only")
        case .paging(let domain, _):
            try checkSMMU(domain.driver)
            if domain.kind != .stage1 { try checkNoPASIDs(master) }
        case .nested(let domain, _):
            try checkSMMU(domain.viommu.driver)
            try checkNoPASIDs(master)
            guard domain.configuration != .stage1 || domain.viommu.virtualID(of: master) != nil else {
                throw IOMMUError(
                    .ENOENT, .vdeviceRequired, "the device has no virtual StreamID in the viommu",
                    hint: "allocate a vdevice first"
                )
            }
        }
    }

    private func check(_ master: Master, pasid: UInt32, _ target: AttachTarget) throws(IOMMUError) {
        if target.isBlocked { return }
        guard master.pasidBits > 0 else {
            throw IOMMUError(.EOPNOTSUPP, .noPASID, "the device does not have PASIDs")
        }
        guard pasid > 0, UInt64(pasid) < 1 << UInt64(master.pasidBits) else {
            throw IOMMUError(
                .EINVAL, .badPASID, "the device has PASIDs 1 to \((1 << master.pasidBits) - 1)",
                ["pasid": .number(UInt64(pasid))]
            )
        }
        switch target {
        case .blocked: return
        case .sva(let domain): try checkSMMU(domain.driver)
        case .nested: throw IOMMUError(.EOPNOTSUPP, .nestedPASID, "a nested hwpt cannot sit on a PASID")
        case .paging(let domain, _):
            try checkSMMU(domain.driver)
            guard domain.kind == .stage1, domain.allowsPASID else {
                throw IOMMUError(
                    .EINVAL, .notPASIDCompatible, "the hwpt was not allocated for PASIDs",
                    hint: "allocate it with the flag pasid"
                )
            }
        }
        let ownStage = master.attachment.pagingDomain?.stage
        guard ownStage != 2, master.attachment.nestedDomain == nil else {
            throw IOMMUError(
                .EINVAL, .deviceOnStage2, "the device itself is on stage 2 or nested, which has no room for PASIDs",
                hint: "detach it, or attach it to a stage 1 hwpt"
            )
        }
    }

    private func checkSMMU(_ driver: SMMUDriver) throws(IOMMUError) {
        guard driver === self else {
            throw IOMMUError(.EINVAL, .otherSMMU, "the hwpt belongs to another SMMU than the device")
        }
    }

    private func checkNoPASIDs(_ master: Master) throws(IOMMUError) {
        guard master.pasidAttachments.isEmpty else {
            throw IOMMUError(
                .EBUSY, .pasidsInUse, "PASIDs of the device are attached, which stage 2 and nesting cannot serve",
                hint: "detach them first", ["pasid": .number(UInt64(master.pasidAttachments.keys.min() ?? 0))]
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
