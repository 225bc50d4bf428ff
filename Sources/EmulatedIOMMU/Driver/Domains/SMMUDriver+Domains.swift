import IOMMU
import SMMUv3

extension SMMUDriver {
    /// Makes an empty IO page table with an ASID or VMID of its own.
    ///
    /// - Parameters:
    ///   - dirtyTracking: stage 1 only.
    ///   - pasid: it may sit on a PASID.
    ///   - account: of the user whose it is; nil: nobody's.
    /// - Throws: `EOPNOTSUPP` for what the SMMU cannot do, `ENOSPC` without a tag, `ENOMEM`, `EDQUOT` beyond the
    ///   user's shares.
    package func makePagingDomain(
        _ kind: PagingKind, dirtyTracking: Bool, pasid: Bool, for account: Account? = nil
    ) throws(IOMMUError) -> PagingDomain {
        try check(kind, dirtyTracking: dirtyTracking, pasid: pasid)
        let tags = kind == .stage1 ? asids : vmids
        let share = account?.share(of: kind == .stage1 ? asidPool : vmidPool)
        let tag = try takeTag(of: tags, kind == .stage1 ? .asid : .vmid, share)
        do {
            let table = try makeTable(kind, dirtyTracking: dirtyTracking, for: account)
            let domain = PagingDomain(
                driver: self, kind: kind, table: table, tag: tag, tagShare: share, dirtyTracking: dirtyTracking,
                pasid: pasid
            )
            installInvalidations(domain)
            if kind == .stage1 { stage1Domains[tag] = domain }
            return domain
        } catch {
            tags.release(UInt32(tag))
            share?.giveBack(1)
            throw error
        }
    }

    /// A tag of its own, on the user's account.
    private func takeTag(
        of tags: any TagSource, _ kind: Ledger.Kind, _ share: PoolShare?
    ) throws(IOMMUError) -> UInt16 {
        try share?.check(1)
        let tag = UInt16(truncatingIfNeeded: try tags.give(kind, ledger))
        try share?.take(1)
        return tag
    }

    private func check(_ kind: PagingKind, dirtyTracking: Bool, pasid: Bool) throws(IOMMUError) {
        let hasStage = kind == .stage1 ? features.hasStage1 : features.hasStage2
        guard hasStage, kind != .nestParent || features.hasNesting else {
            throw IOMMUError(
                .EOPNOTSUPP, .noStage, "\(name) does not have the stages of translation for it",
                hint: "take a device behind another SMMU", ["smmu": .text(name)])
        }
        guard !dirtyTracking || (kind == .stage1 && features.hasHardwareDirty) else {
            throw IOMMUError(
                .EOPNOTSUPP, .noDirtyTracking, "\(name) keeps dirty state only in stage 1 tables, with HTTU",
                hint: "leave the flag dirty_tracking out", ["smmu": .text(name)]
            )
        }
        guard !pasid || (kind == .stage1 && features.substreamIDBits > 0) else {
            throw IOMMUError(
                .EOPNOTSUPP, .noPASID, "\(name) has PASIDs only in stage 1, and with SubstreamIDs",
                hint: "leave the flag pasid out", ["smmu": .text(name)])
        }
    }

    /// What an hwpt over an IOAS is where nothing says otherwise.
    package var preferredKind: PagingKind { features.hasStage1 ? .stage1 : .stage2 }

    /// What the tables of such domains look like.
    package func format(of kind: PagingKind) -> PageTableFormat {
        PageTableFormat(
            stage: kind == .stage1 ? 1 : 2, granuleBits: features.granuleBits,
            inputBits: kind == .stage1 ? features.virtualAddressBits : features.outputAddressBits,
            outputBits: features.outputAddressBits
        )
    }

    private func makeTable(
        _ kind: PagingKind, dirtyTracking: Bool, for account: Account?
    ) throws(IOMMUError) -> PageTable {
        try PageTable(
            format: format(of: kind),
            attributes: kind == .stage1
                ? .stage1(tracksDirty: dirtyTracking) : .stage2(forceWriteBack: usesForcedWriteBack(kind)),
            memory: memory, share: tableShare(of: account)
        )
    }

    /// A block takes the place of an empty table only after the table is forgotten; splitting a block needs its old
    /// translation gone before the table comes, unless BBML says otherwise.
    private func installInvalidations(_ domain: PagingDomain) {
        domain.table.forgetTables = { [unowned self, unowned domain] gather in invalidate(domain, &gather) }
        guard features.blockChangeLevel < 2 else { return }
        domain.table.breakBeforeMake = { [unowned self, unowned domain] _, _ in invalidateAll(domain) }
    }

    /// Frees a domain that nothing uses; its tag left the TLB with its last user.
    package func destroy(_ domain: PagingDomain) {
        assert(domain.users.isEmpty, "a domain in use is destroyed")
        domain.gather.pointee.releaseTables(to: memory)
        domain.table.destroy()
        if domain.kind == .stage1 {
            stage1Domains[domain.tag] = nil
            asids.release(UInt32(domain.tag))
        } else {
            vmids.release(UInt32(domain.tag))
        }
        domain.tagShare?.giveBack(1)
    }

    // MARK: Shared virtual addressing

    /// - Parameters:
    ///   - claimed: the ASID to use, from ``claimASID(_:)``; nil takes a free one.
    ///   - account: of the user who binds; nil: nobody's.
    /// - Throws: `ENODEV` without stage 1 or SubstreamIDs, `ENOSPC`, `ENOMEM`, `EDQUOT` beyond the user's shares.
    package func makeSVADomain(
        claimed: UInt16? = nil, for account: Account? = nil
    ) throws(IOMMUError) -> SVADomain {
        guard features.hasStage1, features.substreamIDBits > 0 else {
            throw IOMMUError(
                .ENODEV, .noSVA, "\(name) cannot share address spaces of processes",
                hint: "take a device behind an SMMU with stage 1 and SubstreamIDs", ["smmu": .text(name)])
        }
        let share = account?.share(of: asidPool)
        let asid: UInt16
        if let claimed {
            try share?.take(1)
            asid = claimed
        } else {
            asid = try takeTag(of: asids, .asid, share)
        }
        do {
            // Devices work on data; a page fault for execution is refused as well.
            let table = try PageTable(
                format: format(of: .stage1), attributes: .stage1(tracksDirty: false, isExecutable: false),
                memory: memory, mapsBlocks: false, share: tableShare(of: account))
            return SVADomain(
                driver: self, asid: asid, tagShare: share, isASIDShared: claimed != nil, table: table)
        } catch {
            share?.giveBack(1)
            if claimed == nil { asids.release(UInt32(asid)) }
            throw error
        }
    }

    /// Frees a domain without users; its ASID left the TLB with its last user.
    package func destroy(_ domain: SVADomain) {
        assert(domain.users.isEmpty, "an address space in use is destroyed")
        domain.gather.releaseTables(to: memory)
        domain.table.destroy()
        asids.release(UInt32(domain.asid))
        domain.tagShare?.giveBack(1)
    }

    /// Takes the ASID that the CPUs use for an address space (BTM). A stage 1 domain that has it moves to another:
    /// its CDs are rewritten on every device, and the old ASID is invalidated before it is used again.
    ///
    /// Give it to ``makeSVADomain(claimed:)``, or back with ``unclaimASID(_:for:)``.
    /// - Returns: the domain that moved.
    /// - Throws: `ENOSPC` if the SMMU has no such ASID or the domain has nowhere to go, `EBUSY` if another address
    ///   space has the ASID; then everything is as before.
    @discardableResult
    package func claimASID(_ asid: UInt16) throws(IOMMUError) -> PagingDomain? {
        guard UInt32(asid) >> UInt32(features.asidBits) == 0 else {
            throw IOMMUError(
                .ENOSPC, .asidExhausted,
                "the CPUs know the address space by ASID \(asid), and \(name) has ASIDs of \(features.asidBits) bits",
                hint: "unbind address spaces that are not needed", ["asid": .number(UInt64(asid))]
            )
        }
        if asids.take(UInt32(asid)) { return nil }
        guard let domain = stage1Domains[asid] else {
            throw IOMMUError(
                .EBUSY, .asidTaken, "ASID \(asid) of \(name) belongs to another address space",
                hint: "unbind that first",
                ["asid": .number(UInt64(asid))]
            )
        }
        move(domain, to: UInt16(truncatingIfNeeded: try asids.give(.movedASID, ledger)))
        return domain
    }

    /// Gives back a claimed ASID that no domain was made with, to the domain that had it before.
    package func unclaimASID(_ asid: UInt16, for displaced: PagingDomain? = nil) {
        guard let displaced else { return asids.release(UInt32(asid)) }
        let tag = displaced.tag
        move(displaced, to: asid)
        asids.release(UInt32(tag))
    }

    /// Destroys a domain that was made with a claimed ASID and never used; who had the ASID before has it again.
    package func destroy(_ domain: SVADomain, givingASIDBackTo displaced: PagingDomain) {
        destroy(domain)
        if asids.take(UInt32(domain.asid)) { unclaimASID(domain.asid, for: displaced) }
    }

    /// Gives a stage 1 domain another ASID, which is taken; nothing knows it under the old one any more.
    private func move(_ domain: PagingDomain, to asid: UInt16) {
        let old = domain.tag
        if let ledger, ledger.page == nil { ledger.onMove?(name, old, asid) }
        domain.tag = asid
        stage1Domains[old] = nil
        stage1Domains[asid] = domain
        // One word of each CD changes: hitless.
        rewriteContexts(of: domain)
        if !domain.users.isEmpty { forgetASID(old) }
    }

    /// A move that was written down is made again; nothing happens where it has no object.
    package func restoreMove(from old: UInt16, to asid: UInt16) {
        guard let domain = stage1Domains[old], asids.take(UInt32(asid)) else { return }
        move(domain, to: asid)
        asids.release(UInt32(old))
    }

    /// Writes the CDs of every user anew.
    private func rewriteContexts(of domain: PagingDomain) {
        for user in domain.users.list {
            guard let contexts = user.master.contexts else { continue }
            contexts.write(
                pagingContext(domain, master: user.master), at: user.pasid ?? 0, medium: medium,
                streamIDs: user.master.streamIDs
            )
        }
    }

    /// Writes the CDs of every user anew and forgets the ASID.
    func rewriteContexts(of domain: SVADomain) {
        guard !domain.users.isEmpty else { return }
        for user in domain.users.list {
            guard let contexts = user.master.contexts, let pasid = user.pasid else { continue }
            contexts.write(
                svaContext(domain, master: user.master), at: pasid, medium: medium, streamIDs: user.master.streamIDs
            )
        }
        invalidateAll(domain)
    }

    // MARK: Nesting

    /// - Throws: `EINVAL` if the parent is not a nest parent of this SMMU, `EOPNOTSUPP` without nesting.
    package func makeViommu(parent: PagingDomain) throws(IOMMUError) -> DriverVIOMMU {
        guard features.hasNesting else {
            throw IOMMUError(
                .EOPNOTSUPP, .noNesting, "\(name) does not have both stages of translation",
                hint: "take a device behind another SMMU", ["smmu": .text(name)])
        }
        guard parent.kind == .nestParent, parent.driver === self else {
            throw IOMMUError(
                .EINVAL, .notANestParent, "the hwpt is not a nest parent of \(name)",
                hint: "allocate it with the flag nest_parent for a device of this SMMU"
            )
        }
        viommusMade += 1
        return DriverVIOMMU(driver: self, parent: parent, serial: viommusMade)
    }

    /// - Throws: `EIO` for a bit that is not the guest's to set.
    package func makeNestedDomain(_ viommu: DriverVIOMMU, vste: (UInt64, UInt64)) throws(IOMMUError) -> NestedDomain {
        NestedDomain(viommu: viommu, vste: try NestedDomain.validate(vste))
    }
}
