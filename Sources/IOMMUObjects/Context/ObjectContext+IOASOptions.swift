import IOMMU

extension ObjectContext {
    /// What no reserved region and no table's reach takes, whatever is allowed or mapped.
    package func iovaRanges(ioas id: ObjectID) throws(IOMMUError) -> (ranges: [AddressRange], alignment: UInt64) {
        let ioas = try ioas(id)
        return (ioas.usable, ioas.alignment)
    }

    /// `IOMMU_IOAS_ALLOW_IOVAS`: replaces the list; none allows everything. `ENOENT`, `EINVAL`, `EADDRINUSE`, `EDQUOT`.
    package func allowIOVAs(ioas id: ObjectID, ranges: [AddressRange]) throws(IOMMUError) {
        let ioas = try ioas(id)
        let (before, after) = (UInt64(ioas.allowed.count), UInt64(ranges.count))
        if after > before { try account.charge(after - before, of: .mappings) }
        do {
            try ioas.allow(ranges)
        } catch {
            if after > before { account.release(after - before, of: .mappings) }
            throw error
        }
        layoutGeneration &+= 1
        if after < before { account.release(before - after, of: .mappings) }
    }

    /// At most `limit` mappings from the first that ends at or after `start`. `ENOENT`.
    package func mappings(
        ioas id: ObjectID, from start: UInt64, limit: Int
    ) throws(IOMMUError) -> (mappings: [MappingDescription], next: UInt64?) {
        let ioas = try ioas(id)
        var mappings: [MappingDescription] = []
        var position = ioas.areas.first(endingAtOrAfter: start)
        while let current = position {
            let area = current.area
            guard mappings.count < limit else { return (mappings, area.start) }
            let mm = memories.lent(area.memory)?.mm
            mappings.append(
                MappingDescription(
                    iova: area.start, length: area.length, memory: mm == nil ? area.memory : 0, mm: mm,
                    offset: area.offset, access: area.access))
            position = current.next
        }
        return (mappings, nil)
    }

    /// `IOMMU_OPTION_HUGE_PAGES`. `ENOENT`.
    package func hugePages(ioas id: ObjectID) throws(IOMMUError) -> Bool { try ioas(id).usesHugePages }

    /// `IOMMU_OPTION_HUGE_PAGES`. `ENOENT`; `EINVAL` once tables have mappings, `EADDRINUSE` for one that is no page.
    package func setHugePages(ioas id: ObjectID, _ enabled: Bool) throws(IOMMUError) {
        let ioas = try ioas(id)
        guard enabled != ioas.usesHugePages else { return }
        if !enabled {
            guard ioas.hwpts.isEmpty || ioas.areas.isEmpty else {
                throw IOMMUError(
                    .EINVAL, .alreadyMapped, "ioas \(id) has hardware tables with mappings in them",
                    hint: "turn huge_pages off before mapping", ["ioas": .number(UInt64(id))])
            }
            try ioas.checkMappings(areMultiplesOf: IOAS.pageSize)
        }
        ioas.usesHugePages = enabled
        ioas.updateAlignment()
    }
}
