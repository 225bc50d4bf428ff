import IOMMU

/// Where a search for the same kind of range need not start before.
struct AllocationHint {
    var length: UInt64 = 0
    var alignment = Alignment(modulus: 1, residue: 0)
    var from: UInt64 = 0

    /// Addresses from `start` on have become free: a range that ends there may begin before.
    mutating func freed(from start: UInt64) {
        let first = start > length ? start - length : 0
        if first < from { from = first }
    }
}

extension IOAS {
    private static let largestBlock: UInt64 = 1 << 30
    private static let middleBlock: UInt64 = 1 << 21

    /// The lowest IOVA in the allocatable ranges with room for `length` bytes that begin at `physical`.
    ///
    /// With huge pages the IOVA is congruent to the physical address modulo the largest block that the length can
    /// hold, so that blocks can be used; where that leaves no room, modulo smaller ones.
    ///
    /// - Throws: `ENOSPC`.
    func allocate(length: UInt64, physical: UInt64) throws(IOMMUError) -> UInt64 {
        var modulus = preferredModulus(length: length, physical: physical)
        let least = max(alignment, usesHugePages ? leastModulus(length: length, physical: physical) : Self.pageSize)
        while true {
            modulus = max(modulus, least)
            if let iova = firstHole(
                length: length, alignment: Alignment(modulus: modulus, residue: physical & (modulus - 1)))
            {
                return iova
            }
            guard modulus > least else { break }
            modulus = modulus > Self.middleBlock ? Self.middleBlock : least
        }
        throw IOMMUError(
            .ENOSPC, .noFreeIOVA, "no free range of \(length) bytes is left in the allowed IOVAs of ioas \(id)",
            hint: "ioas.iova_ranges and ioas.mappings show what is taken; ioas.allow_iovas narrows the choice",
            ["ioas": .number(UInt64(id)), "length": .hex(length)])
    }

    private func preferredModulus(length: UInt64, physical: UInt64) -> UInt64 {
        guard usesHugePages else { return Self.pageSize }
        if length >= Self.largestBlock { return Self.largestBlock }
        if length >= Self.middleBlock { return Self.middleBlock }
        return leastModulus(length: length, physical: physical)
    }

    /// As iommufd: the length rounded up to a power of two, no more than the memory itself is aligned, at most 2 MiB.
    private func leastModulus(length: UInt64, physical: UInt64) -> UInt64 {
        let own = physical == 0 ? Self.middleBlock : physical & (0 &- physical)
        let whole = length >= Self.middleBlock ? Self.middleBlock : length.roundedUpToPowerOfTwo
        return min(own, whole)
    }

    private func firstHole(length: UInt64, alignment: Alignment) -> UInt64? {
        let isKnown = hint.length == length && hint.alignment == alignment
        let from = isKnown ? hint.from : 0
        for range in allocatable where range.last >= from {
            let start = max(range.start, from)
            if let iova = areas.firstHole(start: start, last: range.last, length: length, alignment: alignment) {
                hint = AllocationHint(length: length, alignment: alignment, from: iova)
                return iova
            }
        }
        hint = AllocationHint(length: length, alignment: alignment, from: .max)
        return nil
    }
}
