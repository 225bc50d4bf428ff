import IOMMU
import SMMUv3

extension SMMUDriver {
    /// More granules than this are invalidated by tag.
    private static let rangeLimit: UInt64 = 1 << 18
    /// The same without range commands.
    private static let pageLimit: UInt64 = 512

    /// TLBI and ATC_INV of what a domain gathered, then CMD_SYNC; then its old tables can be used again.
    func invalidate(_ domain: PagingDomain) {
        // Without users nothing is cached under the tag.
        guard !domain.users.isEmpty else { return domain.gather.pointee.releaseTables(to: memory) }
        let gather = domain.gather.pointee
        let tag = UInt64(domain.tag)
        if isByTag(gather) {
            appendAll(domain)
        } else if domain.kind == .stage1 {
            let word0 = UInt64(CommandOpcode.TLBI_NH_VA.rawValue) | tag << 48
            gather.forEachRange { appendRange(word0, from: $0, to: $1, gather) }
        } else {
            let word0 = UInt64(CommandOpcode.TLBI_S2_IPA.rawValue) | tag << 32
            gather.forEachRange { appendRange(word0, from: $0, to: $1, gather) }
            if domain.kind == .nestParent { forgetGuests(of: domain) }
        }
        if domain.users.hasATS {
            appendCompletionOfTLBI()
            for user in domain.users.list { appendATC(user, gather) }
        }
        queue.sync()
        if gather.hasTables { domain.gather.pointee.releaseTables(to: memory) } else { domain.gather.pointee.clear() }
    }

    /// What guests' stage 1 made of a stage 2 is cached by their addresses, which nobody knows, and stays so when a
    /// guest has gone: after every TLBI by IPA, whether or not there is a guest now.
    private func forgetGuests(of domain: PagingDomain) {
        queue.append(.SYNC())
        queue.append(.TLBI_NH_ALL(vmid: domain.tag))
    }

    /// Everything under the domain's tag.
    func invalidateAll(_ domain: PagingDomain) {
        guard !domain.users.isEmpty else { return }
        appendAll(domain)
        if domain.users.hasATS {
            appendCompletionOfTLBI()
            for user in domain.users.list { appendATC(user, start: 0, end: 0) }
        }
        queue.sync()
    }

    /// After the last user of a domain has left.
    func forgetTag(of domain: PagingDomain) {
        appendAll(domain)
        queue.sync()
        domain.cachedGuest = nil
    }

    /// Before a stage 1 of a guest is used: an earlier guest above the same stage 2 had the same ASIDs.
    func forgetEarlierGuest(than viommu: DriverVIOMMU) {
        let parent = viommu.parent
        if let cached = parent.cachedGuest, cached != viommu.serial {
            queue.append(.TLBI_NH_ALL(vmid: parent.tag))
            queue.sync()
        }
        parent.cachedGuest = viommu.serial
    }

    /// After the last user of an address space has left.
    func forgetTag(of domain: SVADomain) {
        queue.append(.TLBI_NH_ASID(asid: domain.asid))
        queue.sync()
    }

    private func appendAll(_ domain: PagingDomain) {
        queue.append(domain.kind == .stage1 ? .TLBI_NH_ASID(asid: domain.tag) : .TLBI_S12_VMALL(vmid: domain.tag))
    }

    /// A range of an address space of a process.
    func invalidate(_ domain: SVADomain, va: UInt64, length: UInt64, broadcast: Bool) {
        let granule = features.granule
        let start = va & ~(granule &- 1)
        let (sum, wraps) = va.addingReportingOverflow(length)
        let end = wraps ? 0 : (sum &+ granule &- 1) & ~(granule &- 1)
        let isAll = end <= start || (end &- start) / granule > Self.pageLimit
        guard !domain.users.isEmpty else { return domain.gather.releaseTables(to: memory) }
        if !broadcast {
            if isAll {
                queue.append(.TLBI_NH_ASID(asid: domain.asid))
            } else {
                var gather = InvalidationGather()
                gather.add(start, bytes: end &- start, shift: features.granuleBits)
                let word0 = UInt64(CommandOpcode.TLBI_NH_VA.rawValue) | UInt64(domain.asid) << 48
                // Tables may have gone with the pages.
                appendRange(word0, from: start, to: end, gather, leaf: !domain.gather.hasTables)
            }
            if domain.users.hasATS { appendCompletionOfTLBI() }
        }
        for user in domain.users.list { appendATC(user, start: isAll ? 0 : start, end: isAll ? 0 : end) }
        queue.sync()
        domain.gather.releaseTables(to: memory)
    }

    // MARK: TLBI

    private func isByTag(_ gather: InvalidationGather) -> Bool {
        if gather.overflowed { return true }
        var units: UInt64 = 0
        let shift = UInt64(features.hasRangeInvalidation ? features.granuleBits : min(gather.leafShift, 63))
        gather.forEachRange { units &+= ($1 &- $0) >> shift }
        return units > (features.hasRangeInvalidation ? Self.rangeLimit : Self.pageLimit)
    }

    @inline(__always)
    private func appendRange(_ word0: UInt64, from start: UInt64, to end: UInt64, _ gather: InvalidationGather) {
        appendRange(word0, from: start, to: end, gather, leaf: !gather.hasTables)
    }

    /// TLBI by address over a range: one command per power of two in its length with RIL, else one per leaf.
    private func appendRange(
        _ word0: UInt64, from start: UInt64, to end: UInt64, _ gather: InvalidationGather, leaf: Bool
    ) {
        let granuleBits = UInt64(features.granuleBits)
        let leafBit: UInt64 = leaf ? 1 : 0
        var address = start
        guard features.hasRangeInvalidation else {
            while address < end {
                queue.append(word0, address | leafBit)
                address &+= 1 &<< UInt64(gather.leafShift)
            }
            return
        }
        var pages = (end &- start) >> granuleBits
        while pages > 0 {
            let scale = UInt64(pages.trailingZeroBitCount)
            let number = (pages >> scale) & 31
            // One page: TG = 0, since TG with NUM = SCALE = TTL = 0 is reserved (4.4.1.1).
            if number == 1, scale == 0 {
                queue.append(word0, address | leafBit)
                address &+= 1 &<< granuleBits
                pages &-= 1
                continue
            }
            queue.append(
                word0 | (number &- 1) << 12 | scale << 20, address | leafBit | features.rangeGranuleCode << 10
            )
            address &+= (number << scale) << granuleBits
            pages &-= number << scale
        }
    }

    // MARK: ATC

    /// Goes between TLBI and ATC_INV: a device that asks again must not be served from a TLB entry that is about to go
    /// (IHI 0070, 3.9.1). Later commands wait for a CMD_SYNC, so that it needs no ring of the doorbell of its own.
    func appendCompletionOfTLBI() {
        queue.append(.SYNC())
    }

    private func appendATC(_ user: DomainUser, _ gather: InvalidationGather) {
        guard user.master.isATSEnabled else { return }
        if gather.overflowed || user.isNested { return appendATC(user, start: 0, end: 0) }
        gather.forEachRange { appendATC(user, start: $0, end: $1) }
    }

    /// The smallest aligned power of two that covers the range; an empty range stands for everything, as do addresses
    /// of a nested device, which knows them by other names.
    func appendATC(_ user: DomainUser, start: UInt64, end: UInt64) {
        guard user.master.isATSEnabled else { return }
        var (page, size) = (UInt64(0), UInt64(52))
        if start < end, !user.isNested {
            let (first, last) = (start >> 12, (end &- 1) >> 12)
            size = UInt64(64 - (first ^ last).leadingZeroBitCount)
            page = (first >> size) << size
        }
        for streamID in user.master.streamIDs {
            queue.append(.ATC_INV(streamID: streamID, substreamID: user.pasid, address: page << 12, size: size))
        }
    }
}
