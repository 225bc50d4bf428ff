import IOMMU

/// Walks, for other modules too, which get no places for them.
extension AreaMap {
    /// The mappings that lie wholly in start...last, and the first that such a range would cut.
    package func whole(start: UInt64, last: UInt64) -> (count: Int, bytes: UInt64, cut: Area?) {
        var (count, bytes) = (0, UInt64(0))
        var position = first(endingAtOrAfter: start)
        while let current = position, current.start <= last {
            guard current.start >= start, current.last <= last else { return (count, bytes, current.area) }
            count += 1
            bytes &+= current.area.length
            position = current.last == last ? nil : current.next
        }
        return (count, bytes, nil)
    }

    /// The mappings of start...last, cut to it; nil if a byte of it is not mapped.
    package func pieces(start: UInt64, last: UInt64) -> [Area]? {
        var pieces: [Area] = []
        var next = start
        var position = first(endingAtOrAfter: start)
        while let current = position, current.start <= next {
            var area = current.area
            area.offset &+= next &- area.start
            area.start = next
            area.last = min(area.last, last)
            pieces.append(area)
            guard area.last < last else { return pieces }
            next = area.last &+ 1
            position = current.next
        }
        return nil
    }

    /// The first mapping that is not whole pages of 4096 bytes.
    package var firstMisaligned: Area? {
        var position = first(endingAtOrAfter: 0)
        while let current = position {
            let area = current.area
            guard (area.start | area.length | area.offset) & 4095 == 0 else { return area }
            position = current.next
        }
        return nil
    }

    /// At most `limit` mappings from the first that ends at or after `start`; `next` is where to go on.
    package func mappings(from start: UInt64, limit: Int) -> (mappings: [MappingDescription], next: UInt64?) {
        var mappings: [MappingDescription] = []
        var position = first(endingAtOrAfter: start)
        while let current = position {
            let area = current.area
            guard mappings.count < limit else { return (mappings, area.start) }
            mappings.append(
                MappingDescription(
                    iova: area.start, length: area.length, memory: area.memory, offset: area.offset,
                    access: area.access))
            position = current.next
        }
        return (mappings, nil)
    }

    /// Whether every byte of a range is mapped.
    func isMapped(_ range: AddressRange) -> Bool {
        var next = range.start
        var position = first(endingAtOrAfter: next)
        while let current = position, current.start <= next {
            guard current.last < range.last else { return true }
            next = current.last + 1
            position = current.next
        }
        return false
    }

    /// The last area that begins before `address`.
    func area(beginningBefore address: UInt64) -> Area? {
        guard let leaf = descend(to: address) else { return nil }
        let count = Self.rank(leaf.starts, leaf.count, address)
        guard count > 0 else { return nil }
        if leaf.starts[count - 1] < address { return leaf.area(at: count - 1) }
        return count > 1 ? leaf.area(at: count - 2) : nil
    }

    /// The first area that ends at or after `address`.
    package func area(endingAtOrAfter address: UInt64) -> Area? {
        guard let position = first(endingAtOrAfter: address) else { return nil }
        return position.area
    }

    /// Where the last of `count` areas ends, beginning with the first that ends at or after `address`; nil: there are
    /// not so many.
    package func end(ofAreas count: Int, from address: UInt64) -> UInt64? {
        guard var position = first(endingAtOrAfter: address) else { return nil }
        for _ in 1..<max(count, 1) {
            guard let next = position.next else { return nil }
            position = next
        }
        return position.last
    }
}
