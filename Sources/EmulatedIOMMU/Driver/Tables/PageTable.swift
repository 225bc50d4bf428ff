import IOMMU

/// One VMSAv8-64 table tree in table memory, stage 1 or stage 2.
///
/// Every table knows how many of its entries are live. Memory of tables taken out of the tree goes to the gather that
/// made them obsolete, and is used again only after the invalidation.
package final class PageTable {
    /// Its granule, levels and sizes.
    package let format: PageTableFormat
    /// Physical address of the root.
    package let root: UInt64
    let memory: TableMemory
    let attributes: LeafAttributes
    /// 4 KiB granule from level 0: single pages take a path where every shift is a constant.
    let isStandard: Bool
    /// ``TableMemory/origin`` and ``TableMemory/countOrigin``, one load closer.
    let origin: UnsafeMutableRawPointer
    let countOrigin: UnsafeMutablePointer<UInt16>
    /// The table that the last walk down to the lowest level ended in, and the input address bits it serves.
    let recent: UnsafeMutablePointer<Recent>
    /// New writable leaves start clean.
    var startsClean: Bool {
        get { recent.pointee.startsClean }
        set { recent.pointee.startsClean = newValue }
    }
    /// What the user whose table it is holds of the memory for tables.
    private let share: PoolShare
    /// ``PoolShare/count``, one load closer.
    let charged: UnsafeMutablePointer<PoolShare.Count>
    /// Told the block that is about to be replaced by a table while it is invalid; nil where BBML = 2.
    var breakBeforeMake: ((_ start: UInt64, _ bytes: UInt64) -> Void)?
    /// Empty tables for splitting blocks.
    var spareTables: [UInt64] = []
    static let spareCount = 4
    /// Blocks are mapped, which unmapping may have to split. Then tables that became empty stay for a while, see
    /// ``tableEmptied(at:level:gather:)``; else they go at once.
    let mapsBlocks: Bool
    /// Tables that became empty and may be so still.
    let emptied: UnsafeMutablePointer<EmptyTables>
    /// Invalidates, before a block takes their place, what tables covered; nil where blocks are not mapped.
    var forgetTables: ((inout InvalidationGather) -> Void)?
    /// Address bits of a descriptor.
    static let addressMask: UInt64 = 0x0000_ffff_ffff_f000

    struct Recent {
        /// Input address above the lowest level's index; all ones matches nothing.
        var tag: UInt64 = .max
        var table: UInt64 = 0
        var startsClean = false
        /// Bytes of tables that are charged.
        var bytes: UInt64 = 0
    }

    /// - Parameter share: is charged for the tables; nil: nobody's is.
    /// - Throws: `ENOMEM`, also where only the tables for splitting blocks are missing: unmapping relies on them;
    ///   `EDQUOT` if they are more than the share.
    init(
        format: PageTableFormat, attributes: LeafAttributes, memory: TableMemory, mapsBlocks: Bool = true,
        share: PoolShare? = nil
    ) throws(IOMMUError) {
        (self.format, self.attributes, self.memory, self.mapsBlocks) = (format, attributes, memory, mapsBlocks)
        let share = share ?? .unlimited
        (self.share, charged) = (share, share.count)
        try share.check(format.rootAllocation &+ UInt64(mapsBlocks ? Self.spareCount : 0) &* memory.tableBytes)
        if mapsBlocks { try memory.reserve(Self.spareCount) }
        root = try memory.allocate(bytes: format.rootAllocation)
        isStandard = format.granuleBits == 12 && format.startLevel == 0
        (origin, countOrigin) = (memory.origin, memory.countOrigin)
        recent = .allocate(capacity: 1)
        recent.initialize(to: Recent())
        emptied = .allocate(capacity: 1)
        emptied.initialize(to: EmptyTables())
        charge(format.rootAllocation)
        if mapsBlocks { refillSpareTables() }
    }

    deinit {
        recent.deallocate()
        emptied.deinitialize(count: 1)
        emptied.deallocate()
    }

    // MARK: Whose memory it is

    @inline(__always)
    private func charge(_ bytes: UInt64) {
        charged.pointee.used &+= bytes
        recent.pointee.bytes &+= bytes
    }

    /// Makes the next `tables` calls of ``takeTable()`` succeed. `ENOMEM`, `EDQUOT`.
    @inline(__always)
    func reserve(_ tables: Int) throws(IOMMUError) {
        try checkShare(tables)
        try memory.reserve(tables)
    }

    @inline(__always)
    func checkShare(_ tables: Int) throws(IOMMUError) {
        let bytes = UInt64(tables) &* memory.tableBytes
        guard charged.pointee.used &+ bytes > charged.pointee.limit else { return }
        try share.check(bytes)
    }

    /// An empty table, which is charged; only after ``reserve(_:)``.
    @inline(__always)
    func takeTable() -> UInt64 {
        charge(memory.tableBytes)
        return memory.take()
    }

    /// A table has been taken out of the tree: it can be used again once the invalidation is done.
    @inline(__always)
    func giveBack(_ table: UInt64, to gather: inout InvalidationGather) {
        charged.pointee.used &-= memory.tableBytes
        recent.pointee.bytes &-= memory.tableBytes
        gather.add(table: table, in: memory)
    }

    // MARK: Descriptors

    /// Address of the table or of the leaf that a descriptor names.
    @inline(__always)
    func address(in descriptor: UInt64, level: Int) -> UInt64 {
        let address = descriptor & Self.addressMask
        // With 64 KiB the bits [15:12] hold address bits [51:48].
        return format.granuleBits == 16 ? (address & ~0xffff) | (address & 0xf000) << 36 : address
    }

    /// The address bits of a descriptor.
    @inline(__always)
    func addressBits(_ address: UInt64) -> UInt64 {
        format.granuleBits == 16 ? (address & 0xffff_ffff_0000) | (address >> 36 & 0xf000) : address
    }

    @inline(__always)
    func isTable(_ descriptor: UInt64, level: Int) -> Bool { level < 3 && descriptor & 3 == LeafAttributes.table }

    @inline(__always)
    func isLeaf(_ descriptor: UInt64, level: Int) -> Bool { descriptor & 3 == (level == 3 ? 3 : 1) }

    @inline(__always)
    func index(_ iova: UInt64, level: Int) -> UInt64 {
        let bits = level == format.startLevel ? format.rootIndexBits : format.granuleBits &- 3
        return (iova &>> UInt64(format.shift(level))) & ((1 &<< UInt64(bits)) &- 1)
    }

    /// Entries of a table at `level`.
    @inline(__always)
    func entries(level: Int) -> UInt64 {
        1 &<< UInt64(level == format.startLevel ? format.rootIndexBits : format.granuleBits &- 3)
    }

    // MARK: Reading

    /// What maps `iova`, by a walk in software.
    package func lookup(_ iova: UInt64) -> (address: UInt64, pageSize: UInt64, descriptor: UInt64)? {
        guard format.aperture.contains(iova) else { return nil }
        var table = root
        for level in format.startLevel...3 {
            let descriptor = memory.load(table &+ index(iova, level: level) &* 8)
            if isTable(descriptor, level: level) {
                table = address(in: descriptor, level: level)
            } else if isLeaf(descriptor, level: level) {
                let size = UInt64(1) << UInt64(format.shift(level))
                return ((address(in: descriptor, level: level) & ~(size - 1)) | (iova & (size - 1)), size, descriptor)
            } else {
                return nil
            }
        }
        return nil
    }

    // MARK: End of life

    /// Frees everything; only when nothing can walk or cache the tree any more.
    func destroy() {
        recent.pointee.tag = .max
        for table in spareTables { memory.put(table) }
        spareTables = []
        memory.settle()
        release(table: root, level: format.startLevel)
        memory.release(root, bytes: format.rootAllocation)
        charged.pointee.used &-= recent.pointee.bytes
        recent.pointee.bytes = 0
    }

    /// Frees what hangs below a table; at most four levels deep.
    private func release(table: UInt64, level: Int) {
        guard level < 3 else { return }
        let words = memory.pointer(table)
        let count = Int(entries(level: level))
        var index = 0
        // Most of nearly all tables is empty.
        while let next = Self.firstUsed(words, from: index, to: count) {
            index = next &+ 1
            guard isTable(words[next], level: level) else { continue }
            let child = address(in: words[next], level: level)
            release(table: child, level: level + 1)
            memory.count(of: child).pointee = 0
            memory.release(child, bytes: memory.tableBytes)
        }
    }

    /// Index of the first entry that is not 0.
    static func firstUsed(_ words: UnsafeMutablePointer<UInt64>, from first: Int, to end: Int) -> Int? {
        var index = first
        while index &+ 8 <= end {
            let here = words + index
            guard here[0] | here[1] | here[2] | here[3] | here[4] | here[5] | here[6] | here[7] == 0 else { break }
            index &+= 8
        }
        while index < end, words[index] == 0 { index &+= 1 }
        return index < end ? index : nil
    }
}
