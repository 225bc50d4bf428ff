/// What an inner node of an ``AreaMap`` knows of one subtree.
struct AreaSubtree: Equatable {
    /// The first address of its first area and the last address of its last one.
    var first: UInt64
    var last: UInt64
    /// The longest run of free addresses between two of its areas, in bytes.
    var maxGap: UInt64
    var node: UnsafeMutableRawPointer
}

/// An inner node of an ``AreaMap``.
struct AreaBranch: Equatable {
    static let capacity = 64

    private static let headerBytes = 64
    private static let bytes = headerBytes + capacity * 32

    let raw: UnsafeMutableRawPointer

    static func allocate() -> AreaBranch {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        raw.initializeMemory(as: UInt8.self, repeating: 0, count: headerBytes)
        return AreaBranch(raw: raw)
    }

    func deallocate() { raw.deallocate() }

    var count: Int {
        @inline(__always) get { raw.load(as: Int.self) }
        nonmutating set { raw.storeBytes(of: newValue, as: Int.self) }
    }

    /// Over the subtrees and the gaps between them.
    var maxGap: UInt64 {
        get { raw.load(fromByteOffset: 8, as: UInt64.self) }
        nonmutating set { raw.storeBytes(of: newValue, toByteOffset: 8, as: UInt64.self) }
    }

    // MARK: Members

    var firsts: UnsafeMutablePointer<UInt64> {
        @inline(__always) get { column(0) }
    }

    var lasts: UnsafeMutablePointer<UInt64> {
        @inline(__always) get { column(1) }
    }

    var gaps: UnsafeMutablePointer<UInt64> {
        @inline(__always) get { column(2) }
    }

    private var nodes: UnsafeMutablePointer<UInt64> {
        @inline(__always) get { column(3) }
    }

    @inline(__always)
    private func column(_ number: Int) -> UnsafeMutablePointer<UInt64> {
        (raw + (Self.headerBytes + number * Self.capacity * 8)).assumingMemoryBound(to: UInt64.self)
    }

    @inline(__always)
    func node(at index: Int) -> UnsafeMutableRawPointer {
        // Written from a pointer in `set(_:_:)`, so never zero.
        UnsafeMutableRawPointer(bitPattern: UInt(nodes[index])).unsafelyUnwrapped
    }

    func subtree(at index: Int) -> AreaSubtree {
        AreaSubtree(first: firsts[index], last: lasts[index], maxGap: gaps[index], node: node(at: index))
    }

    func set(_ subtree: AreaSubtree, at index: Int) {
        firsts[index] = subtree.first
        lasts[index] = subtree.last
        gaps[index] = subtree.maxGap
        nodes[index] = UInt64(UInt(bitPattern: subtree.node))
    }

    /// This node as its parent sees it.
    var summary: AreaSubtree { AreaSubtree(first: firsts[0], last: lasts[count - 1], maxGap: maxGap, node: raw) }

    /// Moves `count` subtrees from `source`, which may be this node.
    func move(_ count: Int, from source: AreaBranch, at index: Int, to target: Int) {
        for number in 0..<4 {
            (column(number) + target).update(from: source.column(number) + index, count: count)
        }
    }

    func insert(_ subtree: AreaSubtree, at index: Int) {
        let count = count
        if index < count { move(count - index, from: self, at: index, to: index + 1) }
        set(subtree, at: index)
        self.count = count + 1
    }

    func remove(at index: Int) {
        let count = count
        if index + 1 < count { move(count - index - 1, from: self, at: index + 1, to: index) }
        self.count = count - 1
    }

    // MARK: Gaps

    /// The gap between subtree `index - 1` and `index`.
    @inline(__always)
    func gap(before index: Int) -> UInt64 { firsts[index] &- lasts[index - 1] &- 1 }

    func recomputeGap() {
        let count = count
        var widest: UInt64 = count > 0 ? gaps[0] : 0
        if count > 1 {
            for index in 1..<count { widest = max(widest, max(gaps[index], gap(before: index))) }
        }
        maxGap = widest
    }

    /// Takes over what changed inside subtree `index`; `false` if nothing did.
    func update(_ subtree: AreaSubtree, at index: Int) -> Bool {
        guard firsts[index] != subtree.first || lasts[index] != subtree.last || gaps[index] != subtree.maxGap else {
            return false
        }
        let before = widestGap(around: index)
        set(subtree, at: index)
        let after = widestGap(around: index)
        if after >= maxGap {
            maxGap = after
        } else if before == maxGap {
            recomputeGap()
        }
        return true
    }

    private func widestGap(around index: Int) -> UInt64 {
        var widest = gaps[index]
        if index > 0 { widest = max(widest, gap(before: index)) }
        if index + 1 < count { widest = max(widest, gap(before: index + 1)) }
        return widest
    }
}
