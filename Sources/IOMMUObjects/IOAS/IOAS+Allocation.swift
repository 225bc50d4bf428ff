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
    /// No choice is more aligned than this: where blocks can be used, it makes one possible.
    private static let largestAlignment: UInt64 = 2 << 20

    /// Where IOVAs are chosen: never in the first nor in the last page of the 64-bit space.
    static let choosable = AddressRange(start: pageSize, last: .max - pageSize)

    /// The lowest IOVA in the allocatable ranges with room for `length` bytes of a memory object from `offset` on
    /// (`iopt_alloc_iova`).
    ///
    /// It has the offset's place in its page and is aligned as the length, rounded up to a power of two, but no more
    /// than the offset, and at most to 2 MiB.
    ///
    /// - Throws: `ENOSPC`, `EOVERFLOW` for half of the address space or more.
    func allocate(length: UInt64, offset: UInt64) throws(IOMMUError) -> UInt64 {
        guard length < .max / 2 else {
            throw IOMMUError(
                .EOVERFLOW, .iovaOverflow, "no IOVA is chosen for a range of \(hexadecimal(length)) bytes",
                hint: "name one in iova", ["ioas": .number(UInt64(id)), "length": .hex(length)])
        }
        let own = offset == 0 ? Self.largestAlignment : offset & (0 &- offset)
        let modulus = max(min(length.roundedUpToPowerOfTwo, own, Self.largestAlignment), Self.pageSize)
        if let iova = firstHole(
            length: length, alignment: Alignment(modulus: modulus, residue: offset & (Self.pageSize - 1)))
        {
            return iova
        }
        throw IOMMUError(
            .ENOSPC, .noFreeIOVA,
            "no free range of \(hexadecimal(length)) bytes is left in the allowed IOVAs of ioas \(id)",
            hint: "ioas.iova_ranges and ioas.mappings show what is taken; ioas.allow_iovas narrows the choice",
            ["ioas": .number(UInt64(id)), "length": .hex(length)])
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
