/// Which addresses an automatic allocation accepts: those congruent to `residue` modulo `modulus`.
struct Alignment: Equatable {
    /// A power of two.
    var modulus: UInt64
    /// Below `modulus`.
    var residue: UInt64

    /// The first accepted address from `address` on; nil beyond the 64-bit space.
    func roundUp(_ address: UInt64) -> UInt64? {
        let distance = (residue &- address) & (modulus &- 1)
        let (rounded, overflow) = address.addingReportingOverflow(distance)
        return overflow ? nil : rounded
    }
}

/// Finding free ranges.
extension AreaMap {
    private struct Hole {
        var start: UInt64
        var last: UInt64
    }

    /// The lowest accepted address in start...last with `length` free bytes behind it, all of them in start...last.
    func firstHole(start: UInt64, last: UInt64, length: UInt64, alignment: Alignment) -> UInt64? {
        guard length > 0 else { return nil }
        var from = start
        while let hole = nextHole(from: from, length: length) {
            if let address = alignment.roundUp(max(hole.start, start)) {
                let (end, overflow) = address.addingReportingOverflow(length - 1)
                guard !overflow, end <= last else { return nil }
                if end <= hole.last { return address }
            }
            // The next hole lies behind the area that ends this one.
            guard hole.last < last, hole.last < .max else { return nil }
            from = hole.last + 1
        }
        return nil
    }

    /// As above, of the addresses that are congruent to `residue` modulo a power of two.
    package func firstHole(
        start: UInt64, last: UInt64, length: UInt64, modulus: UInt64, residue: UInt64
    ) -> UInt64? {
        firstHole(
            start: start, last: last, length: length,
            alignment: Alignment(modulus: modulus, residue: residue & (modulus &- 1)))
    }

    /// The first run of at least `length` free addresses that does not end before `from`.
    private func nextHole(from: UInt64, length: UInt64) -> Hole? {
        guard let root else { return Hole(start: 0, last: .max) }
        let (first, last) = bounds(of: root)
        if from < first, first >= length { return Hole(start: 0, last: first - 1) }
        if from <= last, let hole = hole(in: root, level: height, from: from, length: length) { return hole }
        guard last < .max, .max - last >= length else { return nil }
        return Hole(start: last + 1, last: .max)
    }

    private func bounds(of node: UnsafeMutableRawPointer) -> (first: UInt64, last: UInt64) {
        if height == 0 {
            let leaf = AreaLeaf(raw: node)
            return (leaf.starts[0], leaf.lasts[leaf.count - 1])
        }
        let branch = AreaBranch(raw: node)
        return (branch.firsts[0], branch.lasts[branch.count - 1])
    }

    /// Depth is bounded by ``maxHeight``; at most one subtree per level is entered in vain.
    private func hole(in node: UnsafeMutableRawPointer, level: Int, from: UInt64, length: UInt64) -> Hole? {
        guard level > 0 else { return hole(in: AreaLeaf(raw: node), from: from, length: length) }
        let branch = AreaBranch(raw: node)
        guard branch.maxGap >= length else { return nil }
        var index = max(Self.rank(branch.firsts, branch.count, from) - 1, 0)
        while true {
            if branch.gaps[index] >= length,
                let hole = hole(in: branch.node(at: index), level: level - 1, from: from, length: length)
            {
                return hole
            }
            index += 1
            guard index < branch.count else { return nil }
            if branch.gap(before: index) >= length, branch.firsts[index] > from {
                return Hole(start: branch.lasts[index - 1] + 1, last: branch.firsts[index] - 1)
            }
        }
    }

    private func hole(in leaf: AreaLeaf, from: UInt64, length: UInt64) -> Hole? {
        guard leaf.maxGap >= length else { return nil }
        var index = max(Self.rank(leaf.starts, leaf.count, from), 1)
        while index < leaf.count {
            if leaf.gap(before: index) >= length {
                return Hole(start: leaf.lasts[index - 1] + 1, last: leaf.starts[index] - 1)
            }
            index += 1
        }
        return nil
    }
}
