import IOMMU
import SMMUv3

extension SMMUDriver {
    /// Makes a prepared change. Cannot fail; where old and new can be told apart by one word of an entry, no
    /// transaction meets anything but one of the two.
    package func commit(_ prepared: PreparedAttachment) {
        let (master, pasid, target) = (prepared.master, prepared.pasid, prepared.target)
        let old = master.attachment(pasid: pasid)
        if target.isSame(as: old) { return abandon(prepared) }
        // Invalidations of the new domain have to reach the device from the first moment on.
        enlist(master, pasid, target)
        if let contexts = prepared.newContexts { master.contexts = contexts }
        if let leaf = prepared.newLeaf {
            master.contexts?.install(leaf: leaf, for: pasid ?? 0, through: medium, streamIDs: master.streamIDs)
        }
        (prepared.newContexts, prepared.newLeaf, prepared.madeSpare) = (nil, nil, false)
        let context = context(for: prepared)
        if let pasid {
            commit(master, pasid, from: old, to: target, context)
        } else {
            commit(master, from: old, to: target, context)
        }
    }

    /// The device itself: CD, STE, its caches, and last the tag that it leaves.
    private func commit(
        _ master: Master, from old: AttachTarget, to target: AttachTarget, _ context: ContextDescriptor?
    ) {
        if let context { setContext(context, of: master, at: 0) }
        master.attachment = target
        let hadATS = installEntry(of: master)
        if context == nil, !target.isBlocked { clearContext(of: master, at: 0) }
        settleATS(of: master, hadATS: hadATS, changed: nil)
        delist(master, nil, old)
        if target.isBlocked { clearContext(of: master, at: 0) }
    }

    /// A PASID: its CD alone, unless it is the first or the last.
    private func commit(
        _ master: Master, _ pasid: UInt32, from old: AttachTarget, to target: AttachTarget,
        _ context: ContextDescriptor?
    ) {
        if let context {
            setContext(context, of: master, at: pasid)
        } else {
            clearContext(of: master, at: pasid)
        }
        master.pasidAttachments[pasid] = target.isBlocked ? nil : target
        let movesEntry = entryIsOutdated(of: master)
        if movesEntry, !target.isBlocked {
            settleATS(of: master, hadATS: installEntry(of: master), changed: pasid)
        } else if master.isATSEnabled {
            forgetATC(of: master, pasid: pasid)
        }
        delist(master, pasid, old)
        if movesEntry, target.isBlocked {
            settleATS(of: master, hadATS: installEntry(of: master), changed: nil)
        }
    }

    // MARK: Users

    private func enlist(_ master: Master, _ pasid: UInt32?, _ target: AttachTarget) {
        switch target {
        case .blocked: break
        case .paging(let domain, _): domain.users.add(master, pasid: pasid)
        case .sva(let domain): domain.users.add(master, pasid: pasid)
        case .nested(let domain, _):
            domain.userCount += 1
            if domain.configuration == .stage1 { forgetEarlierGuest(than: domain.viommu) }
            domain.viommu.parent.users.add(master, pasid: pasid, isNested: true)
        }
    }

    /// With its last user a tag leaves the TLB: what is unmapped later, or belongs to a guest that has gone, cannot be
    /// met by whoever uses the tag next.
    private func delist(_ master: Master, _ pasid: UInt32?, _ target: AttachTarget) {
        switch target {
        case .blocked: break
        case .paging(let domain, _):
            domain.users.remove(master, pasid: pasid)
            if domain.users.isEmpty { forgetTag(of: domain) }
        case .sva(let domain):
            domain.users.remove(master, pasid: pasid)
            if domain.users.isEmpty { forgetTag(of: domain) }
        case .nested(let domain, _):
            domain.userCount -= 1
            let parent = domain.viommu.parent
            parent.users.remove(master, pasid: pasid, isNested: true)
            if parent.users.isEmpty { forgetTag(of: parent) }
        }
    }

    // MARK: Context descriptors

    /// In its place where that is hitless or nothing points there, else in the spare table.
    private func setContext(_ context: ContextDescriptor, of master: Master, at substream: UInt32) {
        guard let contexts = master.contexts else { return }
        if master.usesContexts, !contexts.isHitless(substream, to: context) {
            contexts.flip(context, at: substream)
        } else {
            contexts.write(context, at: substream, medium: medium, streamIDs: master.streamIDs)
        }
    }

    private func clearContext(of master: Master, at substream: UInt32) {
        guard let contexts = master.contexts, contexts.descriptor(substream) != ContextDescriptor() else { return }
        contexts.write(ContextDescriptor(), at: substream, medium: medium, streamIDs: master.streamIDs)
    }

    // MARK: Stream table entries

    private func entryIsOutdated(of master: Master) -> Bool {
        guard let streamID = master.streamIDs.first else { return false }
        return streams.entry(streamID) != entry(for: master, ats: wantsATS(master))
    }

    /// Brings the STEs of a device in line with its attachments.
    ///
    /// - Returns: whether the device had its ATS on; ``settleATS(of:hadATS:changed:)`` comes next.
    private func installEntry(of master: Master) -> Bool {
        let ats = wantsATS(master)
        let entry = entry(for: master, ats: ats)
        let hadATS = master.isATSEnabled
        // The device stops asking before the SMMU stops answering.
        if !ats { master.isATSEnabled = false }
        for streamID in master.streamIDs {
            change(streamID, to: entry)
            queue.append(.PREFETCH_CONFIG(streamID: streamID))
        }
        master.usesContexts = entry.Config == StreamConfiguration.stage1.rawValue
        return hadATS
    }

    /// What the device cached belongs to the old translation, or to an earlier life; all of it where ATS goes on or
    /// off, else what the changed PASID has.
    private func settleATS(of master: Master, hadATS: Bool, changed pasid: UInt32?) {
        let ats = wantsATS(master)
        guard ats || hadATS else { return queue.publish() }
        forgetATC(of: master, pasid: ats && hadATS ? pasid : nil)
        master.isATSEnabled = ats
    }

    /// Takes an STE to its new value on the gentlest way there is: hitless; through a VMID that nothing else uses;
    /// or through an STE that aborts, which is silent where V = 0 would be recorded.
    private func change(_ streamID: UInt32, to target: StreamTableEntry) {
        guard let address = streams.address(of: streamID) else { return }
        let writer = EntryWriter<StreamTableEntry>(medium: medium, address: address, scope: .ste(streamID: streamID))
        var current = streams.entry(streamID)
        if !EntryWriter.isHitless(from: current, to: target) {
            if let steps = steps(from: current, to: target) {
                for step in steps { writer.write(step, over: &current) }
                queue.append(.TLBI_S12_VMALL(vmid: transitVMID))
                queue.sync()
                return
            }
            writer.write(abortEntry(), over: &current)
        }
        writer.write(target, over: &current)
    }

    /// A way between two translating STEs in which every step changes one word that the SMMU looks at.
    ///
    /// VMID, tables and context pointer lie in different words. In between the stream has a VMID of its own, so that
    /// what is cached then, of either side, can be met by nobody else.
    private func steps(from current: StreamTableEntry, to target: StreamTableEntry) -> [StreamTableEntry]? {
        guard current.V, current.Config & 4 != 0, target.Config & 4 != 0, features.hasStage2 else { return nil }
        var (before, after) = (current, target)
        before.S2VMID = UInt64(transitVMID)
        after.S2VMID = UInt64(transitVMID)
        let (renamed, settled) = (before, after)
        if current.Config & target.Config & 1 != 0 {
            guard current.S1DSS == target.S1DSS else { return nil }
            // How CDs are fetched can change at any time; stalls may be forbidden only for contexts without them.
            (before.S1CIR, before.S1COR, before.S1CSH) = (target.S1CIR, target.S1COR, target.S1CSH)
            before.S1STALLD = current.S1STALLD && target.S1STALLD
            after.S1STALLD = before.S1STALLD
        }
        var (last, way) = (current, [StreamTableEntry]())
        for step in [renamed, before, after, settled, target] where step != last {
            guard EntryWriter.isHitless(from: last, to: step) else { return nil }
            way.append(step)
            last = step
        }
        return way
    }

    private func entry(for master: Master, ats: Bool) -> StreamTableEntry {
        switch master.attachment {
        case .paging(let domain, _) where domain.kind != .stage1:
            return stage2Entry(domain, stall: stallsInStage2(master), ats: ats)
        case .nested(let domain, _): return nestedEntry(domain, stall: stallsInStage2(master), ats: ats)
        case .blocked where master.pasidAttachments.isEmpty: return abortEntry()
        default:
            guard let contexts = master.contexts else { return abortEntry() }
            let isOwn = !master.attachment.isBlocked
            return contextEntry(master, contexts, defaultSubstream: isOwn ? .substream0 : .terminate, ats: ats)
        }
    }

    /// An STE whose stage 2 does not stall is ILLEGAL where every fault stalls.
    private func stallsInStage2(_ master: Master) -> Bool { features.forcesStall || master.canStall }

    /// Stage 2 stalls and full ATS exclude each other (IHI 0070 5.2 EATS).
    private func wantsATS(_ master: Master) -> Bool {
        guard master.canATS else { return false }
        switch master.attachment {
        case .blocked: return !master.pasidAttachments.isEmpty
        case .paging(let domain, _): return domain.kind == .stage1 || !stallsInStage2(master)
        case .nested(let domain, _): return domain.enablesATS && !stallsInStage2(master)
        case .sva: return false
        }
    }
}
