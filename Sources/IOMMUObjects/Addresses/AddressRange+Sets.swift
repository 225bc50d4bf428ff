import IOMMU

/// Sets of addresses as sorted, disjoint ranges.
extension AddressRange {
    /// The whole 64-bit space.
    static var everything: AddressRange { AddressRange(start: 0, last: .max) ?? AddressRange(anyAddress: 0) }

    private init(anyAddress address: UInt64) {
        // start == last never fails.
        self = AddressRange(start: address, last: address).unsafelyUnwrapped
    }

    /// What none of the ranges holds; they may overlap and come in any order.
    static func complement(of ranges: [AddressRange]) -> [AddressRange] {
        var free: [AddressRange] = []
        var next: UInt64 = 0
        for range in ranges.sorted(by: { $0.start < $1.start }) {
            if range.start > next, let gap = AddressRange(start: next, last: range.start - 1) { free.append(gap) }
            guard range.last < .max else { return free }
            next = max(next, range.last + 1)
        }
        if let rest = AddressRange(start: next, last: .max) { free.append(rest) }
        return free
    }

    /// The same addresses with ranges that touch made one; they are sorted and disjoint.
    static func joined(_ ranges: [AddressRange]) -> [AddressRange] {
        var joined: [AddressRange] = []
        for range in ranges {
            if let before = joined.last, before.last + 1 == range.start,
                let both = AddressRange(start: before.start, last: range.last)
            {
                joined[joined.count - 1] = both
            } else {
                joined.append(range)
            }
        }
        return joined
    }

    /// What both hold; both are sorted and disjoint.
    static func intersection(_ one: [AddressRange], _ other: [AddressRange]) -> [AddressRange] {
        var common: [AddressRange] = []
        var (left, right) = (0, 0)
        while left < one.count, right < other.count {
            let start = max(one[left].start, other[right].start)
            let last = min(one[left].last, other[right].last)
            if let range = AddressRange(start: start, last: last) { common.append(range) }
            if one[left].last < other[right].last { left += 1 } else { right += 1 }
        }
        return common
    }

    /// The range, among sorted disjoint ones, that holds `address`.
    @inline(__always)
    static func range(of address: UInt64, in ranges: [AddressRange]) -> AddressRange? {
        first(in: ranges, meeting: address, last: address)
    }

    /// The first range, among sorted disjoint ones, that holds any address from `start` to `last`.
    @inline(__always)
    static func first(in ranges: [AddressRange], meeting start: UInt64, last: UInt64) -> AddressRange? {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) >> 1
            if ranges[middle].last < start { low = middle + 1 } else { high = middle }
        }
        guard low < ranges.count, ranges[low].start <= last else { return nil }
        return ranges[low]
    }
}
