import IOMMU
import SMMUv3

extension SMMUDriver {
    /// Makes a prepared change. Cannot fail; where old and new can be told apart by one word of an entry, no
    /// transaction meets anything but one of the two.
    package func commit(_ prepared: PreparedAttachment) {
        let (master, pasid) = (prepared.master, prepared.pasid)
        let old = master.attachment(pasid: pasid)
        if old.isBlocked, prepared.target.isBlocked { return }
        // Invalidations of the new domain have to reach the device from the first moment on.
        enlist(master, pasid, prepared.target)
        if let contexts = prepared.newContexts { master.contexts = contexts }
        if let leaf = prepared.newLeaf {
            master.contexts?.install(leaf: leaf, for: pasid ?? 0, through: medium, streamIDs: master.streamIDs)
        }
        (prepared.newContexts, prepared.newLeaf, prepared.madeSpare) = (nil, nil, false)
        let context = context(for: prepared)
        if let context { setContext(context, of: master, at: pasid ?? 0) }
        if let pasid {
            master.pasidAttachments[pasid] = prepared.target.isBlocked ? nil : prepared.target
        } else {
            master.attachment = prepared.target
        }
        installEntry(of: master, changed: pasid)
        if context == nil { clearContext(of: master, at: pasid) }
        delist(master, pasid, old)
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

    /// After nothing uses it any more.
    private func clearContext(of master: Master, at pasid: UInt32?) {
        guard let contexts = master.contexts, contexts.descriptor(pasid ?? 0) != ContextDescriptor() else { return }
        contexts.write(ContextDescriptor(), at: pasid ?? 0, medium: medium, streamIDs: master.streamIDs)
        guard let pasid, master.isATSEnabled else { return }
        for streamID in master.streamIDs {
            queue.append(.ATC_INV(streamID: streamID, substreamID: pasid, address: 0, size: 52))
        }
        queue.sync()
    }

    // MARK: Stream table entries

    /// Brings the STEs of a device in line with its attachments.
    private func installEntry(of master: Master, changed pasid: UInt32?) {
        let ats = wantsATS(master)
        let entry = entry(for: master, ats: ats)
        let hadATS = master.isATSEnabled
        // The device stops asking before the SMMU stops answering.
        if !ats { master.isATSEnabled = false }
        for streamID in master.streamIDs { change(streamID, to: entry) }
        master.usesContexts = entry.Config == StreamConfiguration.stage1.rawValue
        guard ats || hadATS else { return }
        // What the device cached belongs to the old translation, or to an earlier life; all of it where ATS goes on or
        // off.
        for streamID in master.streamIDs {
            queue.append(
                .ATC_INV(streamID: streamID, substreamID: ats && hadATS ? pasid : nil, address: 0, size: 52)
            )
        }
        queue.sync()
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
        case .paging(let domain, let faults) where domain.kind != .stage1:
            return stage2Entry(domain, stall: faults && master.canStall, ats: ats)
        case .nested(let domain, let faults):
            return nestedEntry(domain, stall: faults && master.canStall, ats: ats)
        case .blocked where master.pasidAttachments.isEmpty: return abortEntry()
        default:
            guard let contexts = master.contexts else { return abortEntry() }
            let isOwn = !master.attachment.isBlocked
            return contextEntry(master, contexts, defaultSubstream: isOwn ? .substream0 : .terminate, ats: ats)
        }
    }

    private func wantsATS(_ master: Master) -> Bool {
        guard master.canATS else { return false }
        switch master.attachment {
        case .blocked: return !master.pasidAttachments.isEmpty
        case .paging(let domain, let faults): return domain.kind == .stage1 || !(faults && master.canStall)
        case .nested(let domain, let faults): return domain.enablesATS && !(faults && master.canStall)
        case .sva: return false
        }
    }
}
