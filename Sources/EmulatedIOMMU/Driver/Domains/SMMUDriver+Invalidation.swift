import IOMMU
import SMMUv3

extension SMMUDriver {
    /// TLBI and ATC_INV of what a domain gathered, then CMD_SYNC; then its old tables can be used again.
    func invalidate(_ domain: PagingDomain) { invalidate(domain, &domain.gather.pointee) }

    /// - Parameter settles: false: memory of tables that are left over waits for ``TableMemory/giveBack(_:)``.
    func invalidate(_ domain: PagingDomain, _ gather: inout InvalidationGather, settles: Bool = true) {
        // Without users nothing is cached under the tag.
        guard !domain.users.isEmpty else { return gather.releaseTables(to: memory, settles: settles) }
        if gather.overflowed {
            appendAll(domain)
        } else {
            gather.forEachRange { append($0, of: domain) }
        }
        queue.publish()
        if gather.hasTables { gather.releaseTables(to: memory, settles: settles) } else { gather.clear() }
    }

    /// Everything under the domain's tag.
    func invalidateAll(_ domain: PagingDomain) {
        guard !domain.users.isEmpty else { return }
        appendAll(domain)
        queue.publish()
    }

    private func append(_ range: InvalidationGather.Range, of domain: PagingDomain) {
        if isByTag(range) {
            appendTag(of: domain)
        } else if domain.kind == .stage1 {
            appendRange(UInt64(CommandOpcode.TLBI_NH_VA.rawValue) | UInt64(domain.tag) << 48, range)
            queue.appendSync()
        } else {
            appendRange(UInt64(CommandOpcode.TLBI_S2_IPA.rawValue) | UInt64(domain.tag) << 32, range)
            queue.appendSync()
            if domain.kind == .nestParent { appendGuests(of: domain) }
        }
        if domain.users.hasATS { appendATC(domain, range) }
    }

    private func appendAll(_ domain: PagingDomain) {
        appendTag(of: domain)
        if domain.users.hasATS { appendATC(domain, nil) }
    }

    private func appendTag(of domain: PagingDomain) {
        queue.append(domain.kind == .stage1 ? .TLBI_NH_ASID(asid: domain.tag) : .TLBI_S12_VMALL(vmid: domain.tag))
        queue.appendSync()
    }

    /// What guests' stage 1 made of a stage 2 is cached by their addresses, which nobody knows, and stays so when a
    /// guest has gone: after every TLBI by IPA, whether or not there is a guest now.
    private func appendGuests(of domain: PagingDomain) {
        queue.append(.TLBI_NH_ALL(vmid: domain.tag))
        queue.appendSync()
    }

    // MARK: Tags

    /// After the last user of a domain has left.
    func forgetTag(of domain: PagingDomain) {
        appendTag(of: domain)
        queue.publish()
        domain.cachedGuest = nil
    }

    /// After the last user of an address space has left.
    func forgetTag(of domain: SVADomain) { forgetASID(domain.asid) }

    func forgetASID(_ asid: UInt16) {
        queue.append(.TLBI_NH_ASID(asid: asid))
        queue.sync()
    }

    /// Before a stage 1 of a guest is used: an earlier guest above the same stage 2 had the same ASIDs.
    func forgetEarlierGuest(than viommu: DriverVIOMMU) {
        let parent = viommu.parent
        if let cached = parent.cachedGuest, cached != viommu.serial {
            appendGuests(of: parent)
            queue.publish()
        }
        parent.cachedGuest = viommu.serial
    }

    // MARK: Shared virtual addressing

    /// A range of an address space of a process.
    func invalidate(_ domain: SVADomain, va: UInt64, length: UInt64, broadcast: Bool) {
        guard !domain.users.isEmpty else { return domain.gather.releaseTables(to: memory) }
        let granule = features.granule
        let start = va & ~(granule &- 1)
        let (sum, wraps) = va.addingReportingOverflow(length)
        let end = wraps ? 0 : (sum &+ granule &- 1) & ~(granule &- 1)
        // Tables may have gone with the pages.
        let range = InvalidationGather.Range(
            start: start, end: end, shift: features.granuleBits, isTables: domain.gather.hasTables)
        let isAll = end <= start
        if !broadcast {
            if isAll || (!features.hasRangeInvalidation && (end &- start) / granule >= entriesPerTable) {
                queue.append(.TLBI_NH_ASID(asid: domain.asid))
            } else {
                appendRange(UInt64(CommandOpcode.TLBI_NH_VA.rawValue) | UInt64(domain.asid) << 48, range)
            }
            queue.appendSync()
        }
        var asked = false
        for user in domain.users.list { asked = appendATC(user, isAll ? nil : range) || asked }
        if asked { queue.appendSync() }
        queue.publish()
        domain.gather.releaseTables(to: memory)
    }

    /// Everything of an address space, whose CDs have been rewritten.
    func invalidateAll(_ domain: SVADomain) {
        queue.append(.TLBI_NH_ASID(asid: domain.asid))
        queue.appendSync()
        var asked = false
        for user in domain.users.list { asked = appendATC(user, nil) || asked }
        if asked { queue.appendSync() }
        queue.publish()
    }
}
