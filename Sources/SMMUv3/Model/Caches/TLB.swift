/// One cached translation.
struct TLBEntry {
    /// The address space, 0 if empty.
    var tag: UInt64 = 0
    /// First input address | log2 of the size.
    var page: UInt64 = 0
    /// First output address | log2 of the size.
    var output: UInt64 = 0
    /// `TLBAttributes`.
    var attributes: UInt64 = 0

    /// The bits of `output` that are no address.
    static let flags: UInt64 = 0xfff

    /// log2 of the bytes mapped.
    @inline(__always)
    var log2Size: UInt64 { page & 0x3f }

    /// The permissions of both stages, as the walk found them.
    @inline(__always)
    var permissions: UInt64 { TLBAttributes.permissions(attributes) }
}

/// The permissions that the two stages give, as walks hand them on and TLB entries keep them.
enum TLBPermissions {
    /// Stage 1, privileged: read 1, write 2, execute 4; unprivileged the same << 3.
    static let stage1All: UInt64 = 0x3f
    /// Stage 2 read and write, whatever the privilege.
    static let stage2Read: UInt64 = 1 << 6
    static let stage2Write: UInt64 = 1 << 7
    static let stage2ExecutePrivileged: UInt64 = 1 << 8
    static let stage2ExecuteUnprivileged: UInt64 = 1 << 9
    static let stage2All: UInt64 = 0xf << 6
    /// A write has to mark the page dirty first.
    static let writableClean: UInt64 = 1 << 10

    /// The bits that an access needs.
    @inline(__always)
    static func required(_ access: Access, privileged: Bool) -> UInt64 {
        let shift: UInt64 = privileged ? 0 : 3
        switch access {
        case .read: return (1 &<< shift) | stage2Read
        case .write: return (2 &<< shift) | stage2Write
        case .execute: return (4 &<< shift) | (privileged ? stage2ExecutePrivileged : stage2ExecuteUnprivileged)
        }
    }

    /// What both stages permit, in the layout of stage 1.
    @inline(__always)
    static func combined(_ permissions: UInt64) -> UInt64 {
        let readWrite = (permissions &>> 6) & 0b011
        let privileged = readWrite | (permissions &>> 6) & 0b100
        let unprivileged = readWrite | (permissions &>> 7) & 0b100
        return permissions & (privileged | unprivileged &<< 3)
    }

    /// What an entry serves without a walk: no writes to a page that is not dirty yet.
    @inline(__always)
    static func served(_ permissions: UInt64) -> UInt64 {
        let combined = combined(permissions)
        return permissions & writableClean == 0 ? combined : combined & ~0b010_010
    }
}

/// What an entry says apart from addresses: [31:0] and [63:32] are what an unprivileged and a privileged access get,
/// each as `OutputAttributes` with the accesses that need no walk at [15:13]; [26:16] `TLBPermissions`,
/// [28:27] TG as in a TLBI, [30:29] level of the leaf.
enum TLBAttributes {
    @inline(__always)
    static func pack(_ mapping: Mapping) -> UInt64 {
        let TG = UInt64(mapping.granuleBits &- 10) &>> 1
        let level = UInt64(bitPattern: Int64(mapping.level & 3))
        let type = UInt64(mapping.memoryAttributes) | UInt64(mapping.shareability & 3) &<< 8
        let permitted = TLBPermissions.combined(mapping.permissions)
        let served = TLBPermissions.served(mapping.permissions)
        let unprivileged = type | (permitted & 0o70) &<< 7 | (served & 0o70) &<< 10
        let privileged = type | (permitted & 0o7) &<< 10 | (served & 0o7) &<< 13
        return unprivileged | privileged &<< 32 | mapping.permissions &<< 16 | TG &<< 27 | level &<< 29
    }

    /// The half of a privilege.
    @inline(__always)
    static func half(_ attributes: UInt64, privileged: Bool) -> UInt64 {
        attributes &>> (privileged ? 32 : 0)
    }

    /// Whether an access needs no walk, of the half of its privilege.
    @inline(__always)
    static func serves(_ half: UInt64, _ access: Access) -> Bool {
        (half &>> (UInt64(access.rawValue) &+ 13)) & 1 != 0
    }

    /// The permissions of both stages.
    @inline(__always)
    static func permissions(_ attributes: UInt64) -> UInt64 { attributes.bits(26, 16) }

    /// log2 of what the leaf maps that the entry was made of: of stage 1, where stage 2 may have split it.
    static func leafBits(_ attributes: UInt64) -> UInt64 {
        let granuleBits = 10 &+ 2 &* attributes.bits(28, 27)
        return granuleBits &+ (granuleBits &- 3) &* (3 &- attributes.bits(30, 29))
    }

    /// Granule and level in the place that `pack` gives them.
    static func matches(_ attributes: UInt64, TG: UInt64, TTL: UInt64) -> Bool {
        (TG == 0 || attributes.bits(28, 27) == TG) && (TTL == 0 || attributes.bits(30, 29) == TTL)
    }
}

/// A four-way set-associative TLB over flat memory, for all page sizes and both stages.
struct TLB: ~Copyable {
    static let ways = 4
    private static let largest = 1 << 22

    private(set) var sets: UnsafeMutablePointer<TLBEntry>
    private var entryCount: Int
    /// The hash of a page is shifted right by this.
    private var hashShift: UInt64
    /// Bit n: an entry of 2^n bytes was inserted since the last flush.
    private(set) var sizes: UInt64 = 0
    private let grows: Bool
    private var victim = 0
    private var splits = SplitLeaves()
    var statistics = CacheStatistics()

    /// - Parameter capacity: entries, nil to grow and never evict.
    init(capacity: Int?) {
        var count = 16
        while count < min(capacity ?? 4096, Self.largest) {
            count *= 2
        }
        entryCount = count
        hashShift = Self.shift(count)
        grows = capacity == nil
        sets = .allocate(capacity: count)
        sets.initialize(repeating: TLBEntry(), count: count)
    }

    deinit {
        sets.deallocate()
    }

    private static func shift(_ entries: Int) -> UInt64 {
        UInt64(64 - (entries / ways).trailingZeroBitCount)
    }

    @inline(__always)
    private func set(page: UInt64, tag: UInt64) -> UnsafeMutablePointer<TLBEntry> {
        let hash = ((page &>> 12) &+ tag &+ (tag &>> 9)) &* 0x9e37_79b9_7f4a_7c15
        return sets + Int(truncatingIfNeeded: hash &>> hashShift) &* Self.ways
    }

    /// The entry of a tag that maps an address.
    @inline(__always)
    func find(tag: UInt64, address: UInt64) -> UnsafeMutablePointer<TLBEntry>? {
        var remaining = sizes
        while remaining != 0 {
            let bits = UInt64(truncatingIfNeeded: remaining.trailingZeroBitCount)
            remaining &= remaining &- 1
            let page = (address &>> bits) &<< bits | bits
            let set = set(page: page, tag: tag)
            if set[0].page == page && set[0].tag == tag { return set }
            if set[1].page == page && set[1].tag == tag { return set + 1 }
            if set[2].page == page && set[2].tag == tag { return set + 2 }
            if set[3].page == page && set[3].tag == tag { return set + 3 }
        }
        return nil
    }

    /// Caches a translation; `liveTags` gives the tags that can still match when the TLB has to grow.
    mutating func insert(_ entry: TLBEntry, liveTags: () -> Set<UInt64>) {
        sizes |= 1 << entry.log2Size
        while true {
            let set = set(page: entry.page, tag: entry.tag)
            for way in 0..<Self.ways where set[way].tag == 0 || set[way].page == entry.page && set[way].tag == entry.tag
            {
                set[way] = entry
                return
            }
            guard grows, entryCount < Self.largest else {
                victim = (victim &+ 1) & 3
                set[victim] = entry
                statistics.evictions &+= 1
                return
            }
            grow(keeping: liveTags())
        }
    }

    /// Forgets everything.
    mutating func removeAll() {
        guard sizes != 0 else {
            return
        }
        sets.update(repeating: TLBEntry(), count: entryCount)
        sizes = 0
    }

    /// Forgets the entries of a tag whose leaves touch `address`...`last` and that fit the hints of the command.
    mutating func remove(tag: UInt64, address: UInt64, last: UInt64, TG: UInt64, TTL: UInt64) {
        let isSplit = splits.mayHold(tag: tag, address, last)
        if isSplit || (last &- address) >> 12 > UInt64(entryCount / Self.ways) {
            remove { entry in
                entry.tag == tag && Self.touches(entry, address, last)
                    && TLBAttributes.matches(entry.attributes, TG: TG, TTL: TTL)
            }
            if isSplit { recountSplits() }
            return
        }
        var remaining = sizes
        while remaining != 0 {
            let bits = UInt64(remaining.trailingZeroBitCount)
            remaining &= remaining &- 1
            var start = (address >> bits) << bits
            while true {
                remove(page: start | bits, tag: tag, TG: TG, TTL: TTL)
                let (next, overflow) = start.addingReportingOverflow(1 << bits)
                if overflow || next > last { break }
                start = next
            }
        }
    }

    /// Remembers that the leaf of 2^`bits` bytes at an address has entries that map less than it.
    mutating func noteSplit(tag: UInt64, address: UInt64, bits: UInt64) {
        splits.insert(tag: tag, address: address, bits: bits)
    }

    private mutating func recountSplits() {
        splits = SplitLeaves()
        for index in 0..<entryCount where sets[index].tag != 0 {
            let bits = TLBAttributes.leafBits(sets[index].attributes)
            if bits > sets[index].log2Size {
                splits.insert(tag: sets[index].tag, address: sets[index].page, bits: bits)
            }
        }
    }

    /// Forgets the entries for which a closure says so, by looking at all.
    mutating func remove(where matches: (TLBEntry) -> Bool) {
        guard sizes != 0 else {
            return
        }
        for index in 0..<entryCount where sets[index].tag != 0 && matches(sets[index]) {
            sets[index] = TLBEntry()
            statistics.invalidations &+= 1
        }
    }

    /// Whether the leaf of an entry maps any byte of `address`...`last`: all that a leaf was split into goes with it
    /// (Arm ARM, D8.17).
    static func touches(_ entry: TLBEntry, _ address: UInt64, _ last: UInt64) -> Bool {
        let bits = max(entry.log2Size, TLBAttributes.leafBits(entry.attributes))
        let first = (entry.page >> bits) << bits
        return first <= last && first | ((1 << bits) &- 1) >= address
    }

    /// Calls a closure with every entry.
    func forEach(_ body: (TLBEntry) -> Void) {
        for index in 0..<entryCount where sets[index].tag != 0 {
            body(sets[index])
        }
    }

    private mutating func remove(page: UInt64, tag: UInt64, TG: UInt64, TTL: UInt64) {
        let set = set(page: page, tag: tag)
        for way in 0..<Self.ways where set[way].page == page && set[way].tag == tag {
            if TLBAttributes.matches(set[way].attributes, TG: TG, TTL: TTL) {
                set[way] = TLBEntry()
                statistics.invalidations &+= 1
            }
        }
    }

    private mutating func grow(keeping liveTags: Set<UInt64>) {
        let old = sets
        let oldCount = entryCount
        entryCount *= 2
        hashShift = Self.shift(entryCount)
        sets = .allocate(capacity: entryCount)
        sets.initialize(repeating: TLBEntry(), count: entryCount)
        for index in 0..<oldCount where old[index].tag != 0 && liveTags.contains(old[index].tag) {
            insert(old[index]) { liveTags }
        }
        old.deallocate()
    }
}
