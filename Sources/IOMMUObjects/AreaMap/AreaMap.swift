/// The mappings of an IOAS, or whatever else is made of ``Area``s, in the order of their addresses.
///
/// A B+ tree over raw memory: everything is O(log n), and the widest hole of every subtree is known, so that a free
/// range is found without a walk over the areas. Areas never overlap.
package final class AreaMap {
    /// More levels than 2⁶⁴ addresses can fill.
    static let maxHeight = 24

    /// Areas in the map.
    package private(set) var count = 0
    /// nil: empty. A leaf if `height` is 0, else a branch.
    var root: UnsafeMutableRawPointer?
    /// Levels of branches above the leaves.
    var height = 0
    /// A leaf kept for the next split, or for a map that is empty again and again.
    private var spare: AreaLeaf?
    /// The way that the last ``descend(to:)`` took: the branches from the root down, and which subtree of each.
    let pathNodes = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: AreaMap.maxHeight)
    let pathSlots = UnsafeMutablePointer<Int>.allocate(capacity: AreaMap.maxHeight)
    /// The leaf where that way ended; nil once the nodes on it are not what they were.
    private var pathEnd: AreaLeaf?
    /// Where the first area after that leaf begins; the last address if there is none.
    private var pathLimit = UInt64.max

    /// An empty map.
    package init() {}

    deinit {
        if let root { deallocate(root, level: height) }
        spare?.deallocate()
        pathNodes.deallocate()
        pathSlots.deallocate()
    }

    /// Whether nothing is mapped.
    package var isEmpty: Bool { count == 0 }

    /// Takes everything out.
    package func removeAll() {
        if let root { deallocate(root, level: height) }
        root = nil
        pathEnd = nil
        height = 0
        count = 0
    }

    /// Depth is bounded by ``maxHeight``.
    private func deallocate(_ node: UnsafeMutableRawPointer, level: Int) {
        guard level > 0 else { return AreaLeaf(raw: node).deallocate() }
        let branch = AreaBranch(raw: node)
        for index in 0..<branch.count { deallocate(branch.node(at: index), level: level - 1) }
        branch.deallocate()
    }

    func makeLeaf() -> AreaLeaf {
        guard let leaf = spare else { return AreaLeaf.allocate() }
        spare = nil
        return leaf
    }

    func discard(_ leaf: AreaLeaf) {
        guard spare == nil else { return leaf.deallocate() }
        leaf.clear()
        spare = leaf
    }

    // MARK: Look-up

    /// How many of the ascending `keys` are not above `key`; `count` is at least 1.
    @inline(__always)
    static func rank(_ keys: UnsafeMutablePointer<UInt64>, _ count: Int, _ key: UInt64) -> Int {
        var base = 0
        var remaining = count
        while remaining > 1 {
            let half = remaining >> 1
            // No branch: which way a search goes is not predictable.
            base &+= half &* (keys[base &+ half] <= key ? 1 : 0)
            remaining &-= half
        }
        return keys[base] <= key ? base &+ 1 : base
    }

    /// The leaf in which an area that starts at `address` is or would be; remembers the way.
    @inline(__always)
    func descend(to address: UInt64) -> AreaLeaf? {
        guard var node = root else { return nil }
        pathLimit = .max
        for level in 0..<height {
            let branch = AreaBranch(raw: node)
            let slot = max(Self.rank(branch.firsts, branch.count, address) &- 1, 0)
            pathNodes[level] = node
            pathSlots[level] = slot
            if slot &+ 1 < branch.count { pathLimit = branch.firsts[slot &+ 1] }
            node = branch.node(at: slot)
        }
        let leaf = AreaLeaf(raw: node)
        pathEnd = leaf
        return leaf
    }

    /// Whether the area comes after all that are in the leaf of the last way, and before those of the next. Where
    /// mappings are made in order, this saves the way down.
    @inline(__always)
    private func leafToAppend(_ area: Area) -> AreaLeaf? {
        guard area.last < pathLimit, let leaf = pathEnd, leaf.count < AreaLeaf.capacity,
            leaf.lasts[leaf.count &- 1] < area.start
        else { return nil }
        return leaf
    }

    /// The area that holds an address, if one does.
    package func area(containing address: UInt64) -> Area? {
        guard var node = root else { return nil }
        for _ in 0..<height {
            let branch = AreaBranch(raw: node)
            node = branch.node(at: max(Self.rank(branch.firsts, branch.count, address) &- 1, 0))
        }
        let leaf = AreaLeaf(raw: node)
        let index = Self.rank(leaf.starts, leaf.count, address) &- 1
        guard index >= 0, leaf.lasts[index] >= address else { return nil }
        return leaf.area(at: index)
    }

    /// A place between changes: any insertion or removal ends its validity.
    struct Position {
        fileprivate var leaf: AreaLeaf
        fileprivate var index: Int

        /// What is mapped there.
        var area: Area { leaf.area(at: index) }
        /// Its first byte.
        var start: UInt64 { leaf.starts[index] }
        /// Its last byte.
        var last: UInt64 { leaf.lasts[index] }

        /// The next one by address.
        var next: Position? {
            if index + 1 < leaf.count { return Position(leaf: leaf, index: index + 1) }
            return leaf.next.map { Position(leaf: $0, index: 0) }
        }
    }

    /// The first area that ends at or after `address`.
    @inline(__always)
    func first(endingAtOrAfter address: UInt64) -> Position? {
        guard let leaf = descend(to: address) else { return nil }
        let index = max(Self.rank(leaf.starts, leaf.count, address) &- 1, 0)
        let position = Position(leaf: leaf, index: index)
        return leaf.lasts[index] >= address ? position : position.next
    }

    /// Some area that shares an address with start...last.
    package func firstOverlap(start: UInt64, last: UInt64) -> Area? {
        guard let position = first(endingAtOrAfter: start), position.start <= last else { return nil }
        return position.area
    }

    // MARK: Changes

    /// - Returns: the area in the way, and nothing changes; nil once `area` is in.
    @inline(__always)
    package func insert(_ area: Area) -> Area? {
        if let leaf = leafToAppend(area) {
            count += 1
            append(area, to: leaf)
            return nil
        }
        guard let leaf = descend(to: area.start) else {
            let leaf = makeLeaf()
            leaf.insert(area, at: 0)
            root = leaf.raw
            count = 1
            return nil
        }
        let index = Self.rank(leaf.starts, leaf.count, area.start)
        if index > 0, leaf.lasts[index - 1] >= area.start { return leaf.area(at: index - 1) }
        if index < leaf.count {
            if leaf.starts[index] <= area.last { return leaf.area(at: index) }
        } else if let next = leaf.next, next.starts[0] <= area.last {
            return next.area(at: 0)
        }
        count += 1
        if leaf.count < AreaLeaf.capacity {
            leaf.insert(area, at: index)
            propagate(summary(of: leaf), from: height - 1)
        } else {
            pathEnd = nil
            split(leaf, inserting: area, at: index)
        }
        return nil
    }

    /// At the end of the leaf of the remembered way, which has room. Where the whole way leads to the last of its
    /// siblings and no gap becomes the widest, only the last address changes.
    @inline(__always)
    private func append(_ area: Area, to leaf: AreaLeaf) {
        let isWidest = area.start &- leaf.lasts[leaf.count &- 1] &- 1 > leaf.maxGap
        leaf.append(area)
        guard !isWidest else { return propagate(summary(of: leaf), from: height - 1) }
        for level in stride(from: height - 1, through: 0, by: -1) {
            let branch = AreaBranch(raw: pathNodes[level])
            guard pathSlots[level] == branch.count - 1 else {
                let node = level == height - 1 ? summary(of: leaf) : AreaBranch(raw: pathNodes[level + 1]).summary
                return propagate(node, from: level)
            }
            branch.lasts[pathSlots[level]] = area.last
        }
    }

    /// - Returns: nil, and nothing changes, if no area starts there.
    @inline(__always)
    package func remove(start: UInt64) -> Area? {
        guard let leaf = descend(to: start) else { return nil }
        let index = Self.rank(leaf.starts, leaf.count, start) &- 1
        guard index >= 0, leaf.starts[index] == start else { return nil }
        let area = leaf.area(at: index)
        leaf.remove(at: index)
        count -= 1
        if leaf.count < AreaLeaf.capacity / 4, height > 0 || leaf.count == 0 {
            pathEnd = nil
            shrink(leaf)
        } else {
            propagate(summary(of: leaf), from: height - 1)
        }
        return area
    }

    @inline(__always)
    func summary(of leaf: AreaLeaf) -> AreaSubtree {
        AreaSubtree(first: leaf.starts[0], last: leaf.lasts[leaf.count - 1], maxGap: leaf.maxGap, node: leaf.raw)
    }

    /// Tells the branches of the remembered way, upwards from `level`, what a subtree looks like now.
    @inline(__always)
    func propagate(_ subtree: AreaSubtree, from level: Int) {
        var subtree = subtree
        var level = level
        while level >= 0 {
            let branch = AreaBranch(raw: pathNodes[level])
            guard branch.update(subtree, at: pathSlots[level]) else { return }
            subtree = branch.summary
            level -= 1
        }
    }
}
