import SMMUv3

/// Ranges of addresses as commands.
extension SMMUDriver {
    /// Without range commands so many leaves are invalidated by tag.
    var entriesPerTable: UInt64 { 1 << UInt64(features.granuleBits - 3) }

    @inline(__always)
    func isByTag(_ range: InvalidationGather.Range) -> Bool {
        guard !features.hasRangeInvalidation else { return false }
        let shift = range.isTables ? features.granuleBits : range.shift
        return (range.end &- range.start) >> UInt64(shift) >= entriesPerTable
    }

    /// TLBI by address over a range: one command per five bits of its length with RIL, else one per leaf.
    ///
    /// Leaf = 1 where no table went, and then the level of the leaves is known.
    @inline(__always)
    func appendRange(_ word0: UInt64, _ range: InvalidationGather.Range) {
        let leaf: UInt64 = range.isTables ? 0 : 1
        guard features.hasRangeInvalidation else { return appendPages(word0, range, leaf: leaf) }
        let granuleBits = features.granuleBits
        let level = 3 &- (range.shift &- granuleBits) / (granuleBits &- 3)
        let hint = range.isTables ? 0 : UInt64(level) << 8
        let low = leaf | features.rangeGranuleCode << 10 | hint
        var address = range.start
        var pages = (range.end &- range.start) >> UInt64(granuleBits)
        while pages > 0 {
            let scale = UInt64(pages.trailingZeroBitCount)
            let number = (pages >> scale) & 31
            if number == 1, scale == 0, hint == 0 {
                // TG with NUM = SCALE = TTL = 0 is reserved (4.4.1.1).
                queue.append(word0, address | leaf)
            } else {
                queue.append(word0 | (number &- 1) << 12 | scale << 20, address | low)
            }
            address &+= (number << scale) << UInt64(granuleBits)
            pages &-= number << scale
        }
    }

    private func appendPages(_ word0: UInt64, _ range: InvalidationGather.Range, leaf: UInt64) {
        var address = range.start
        while address < range.end {
            queue.append(word0, address | leaf)
            address &+= 1 &<< UInt64(range.shift)
        }
    }

    // MARK: ATC

    /// After the CMD_SYNC behind a TLBI: a device that asks again must not be served from a TLB entry that is about to
    /// go (IHI 0070, 3.9.1).
    ///
    /// - Parameter range: nil stands for everything, as do addresses below a guest, which the device knows by others.
    func appendATC(_ domain: PagingDomain, _ range: InvalidationGather.Range?) {
        let named = domain.kind == .nestParent ? nil : range
        var asked = false
        for user in domain.users.list { asked = appendATC(user, named) || asked }
        if asked { queue.appendSync() }
    }

    /// The smallest aligned power of two that covers the range.
    ///
    /// - Returns: whether the device has its ATS on.
    func appendATC(_ user: DomainUser, _ range: InvalidationGather.Range?) -> Bool {
        guard user.master.isATSEnabled else { return false }
        var (page, size) = (UInt64(0), UInt64(52))
        if let range {
            let (first, last) = (range.start >> 12, (range.end &- 1) >> 12)
            size = UInt64(64 - (first ^ last).leadingZeroBitCount)
            page = (first >> size) << size
        }
        for streamID in user.master.streamIDs {
            queue.append(.ATC_INV(streamID: streamID, substreamID: user.pasid, address: page << 12, size: size))
        }
        return true
    }

    /// Everything that a device, or one of its PASIDs, has cached.
    func forgetATC(of master: Master, pasid: UInt32?) {
        for streamID in master.streamIDs {
            queue.append(.ATC_INV(streamID: streamID, substreamID: pasid, address: 0, size: 52))
        }
        queue.sync()
    }
}
