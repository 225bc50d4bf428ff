import IOMMU

/// A leaf of an ``AreaMap``: up to ``capacity`` areas in ascending order, each member in an array of its own, so that
/// a search touches nothing but starts.
struct AreaLeaf: Equatable {
    static let capacity = 32

    private static let headerBytes = 64
    private static let payloadBytes = 16
    /// ``Area/isSourceWritable`` and ``Area/isPopulated``, beside the bits of ``Area/access``.
    private static let (sourceWritable, populated): (UInt8, UInt8) = (0x80, 0x40)
    private static let bytes = headerBytes + capacity * (16 + payloadBytes)

    let raw: UnsafeMutableRawPointer

    static func allocate() -> AreaLeaf {
        // What the allocator gives anyway: a wider alignment costs it more than the one cache line that it saves.
        let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
        let leaf = AreaLeaf(raw: raw)
        leaf.clear()
        return leaf
    }

    /// No areas, no neighbours.
    func clear() { raw.initializeMemory(as: UInt8.self, repeating: 0, count: Self.headerBytes) }

    func deallocate() { raw.deallocate() }

    // MARK: Header

    var count: Int {
        @inline(__always) get { raw.load(as: Int.self) }
        nonmutating set { raw.storeBytes(of: newValue, as: Int.self) }
    }

    /// The longest run of free addresses between two neighbours in this leaf, in bytes.
    var maxGap: UInt64 {
        get { raw.load(fromByteOffset: 8, as: UInt64.self) }
        nonmutating set { raw.storeBytes(of: newValue, toByteOffset: 8, as: UInt64.self) }
    }

    var next: AreaLeaf? {
        get { link(at: 16) }
        nonmutating set { setLink(newValue, at: 16) }
    }

    var previous: AreaLeaf? {
        get { link(at: 24) }
        nonmutating set { setLink(newValue, at: 24) }
    }

    private func link(at offset: Int) -> AreaLeaf? {
        UnsafeMutableRawPointer(bitPattern: raw.load(fromByteOffset: offset, as: UInt.self)).map(AreaLeaf.init(raw:))
    }

    private func setLink(_ leaf: AreaLeaf?, at offset: Int) {
        raw.storeBytes(of: leaf.map { UInt(bitPattern: $0.raw) } ?? 0, toByteOffset: offset, as: UInt.self)
    }

    // MARK: Members

    var starts: UnsafeMutablePointer<UInt64> {
        @inline(__always) get { (raw + Self.headerBytes).assumingMemoryBound(to: UInt64.self) }
    }

    var lasts: UnsafeMutablePointer<UInt64> {
        @inline(__always) get { (raw + (Self.headerBytes + Self.capacity * 8)).assumingMemoryBound(to: UInt64.self) }
    }

    private var payloads: UnsafeMutableRawPointer {
        @inline(__always) get { raw + (Self.headerBytes + Self.capacity * 16) }
    }

    @inline(__always)
    func area(at index: Int) -> Area {
        let payload = payloads + index * Self.payloadBytes
        let rights = payload.load(fromByteOffset: 12, as: UInt8.self)
        return Area(
            start: starts[index], last: lasts[index], offset: payload.load(as: UInt64.self),
            memory: payload.load(fromByteOffset: 8, as: UInt32.self),
            access: IOMMU.Access(rawValue: rights & ~(Self.sourceWritable | Self.populated)),
            isSourceWritable: rights & Self.sourceWritable != 0, isPopulated: rights & Self.populated != 0
        )
    }

    @inline(__always)
    private func store(_ area: Area, at index: Int) {
        starts[index] = area.start
        lasts[index] = area.last
        let payload = payloads + index * Self.payloadBytes
        payload.storeBytes(of: area.offset, as: UInt64.self)
        payload.storeBytes(of: area.memory, toByteOffset: 8, as: UInt32.self)
        let rights =
            area.access.rawValue | (area.isSourceWritable ? Self.sourceWritable : 0)
            | (area.isPopulated ? Self.populated : 0)
        payload.storeBytes(of: rights, toByteOffset: 12, as: UInt8.self)
    }

    /// Moves `count` areas from `source`, which may be this leaf.
    func move(_ count: Int, from source: AreaLeaf, at index: Int, to target: Int) {
        (starts + target).update(from: source.starts + index, count: count)
        (lasts + target).update(from: source.lasts + index, count: count)
        (payloads + target * Self.payloadBytes).copyMemory(
            from: source.payloads + index * Self.payloadBytes, byteCount: count * Self.payloadBytes)
    }

    // MARK: Changes that keep maxGap

    /// The gap between `index - 1` and `index`.
    @inline(__always)
    func gap(before index: Int) -> UInt64 { starts[index] &- lasts[index - 1] &- 1 }

    func recomputeGap() {
        var widest: UInt64 = 0
        let count = count
        if count > 1 {
            for index in 1..<count { widest = max(widest, gap(before: index)) }
        }
        maxGap = widest
    }

    /// There is room, and an area before.
    @inline(__always)
    func append(_ area: Area) {
        let count = count
        store(area, at: count)
        self.count = count + 1
        maxGap = max(maxGap, gap(before: count))
    }

    /// There is room.
    func insert(_ area: Area, at index: Int) {
        let count = count
        let split = index > 0 && index < count ? gap(before: index) : 0
        if index < count { move(count - index, from: self, at: index, to: index + 1) }
        store(area, at: index)
        self.count = count + 1
        if split != 0, split == maxGap {
            recomputeGap()
        } else {
            if index > 0 { maxGap = max(maxGap, gap(before: index)) }
            if index < count { maxGap = max(maxGap, gap(before: index + 1)) }
        }
    }

    func remove(at index: Int) {
        let count = count
        let widest = maxGap
        let isInner = index > 0 && index + 1 < count
        let lost = isInner || count == 1 ? 0 : (index == 0 ? gap(before: 1) : gap(before: index))
        if index + 1 < count { move(count - index - 1, from: self, at: index + 1, to: index) }
        self.count = count - 1
        if isInner {
            maxGap = max(widest, gap(before: index))
        } else if lost == widest {
            recomputeGap()
        }
    }
}
