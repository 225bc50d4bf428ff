import IOMMU

/// What unmapping left to invalidate, in order, and the tables that can be used again once that is done.
struct InvalidationGather {
    /// One invalidation by address: neighbouring leaves of one size, or tables that were taken out of the tree.
    struct Range {
        var start: UInt64
        /// Exclusive.
        var end: UInt64
        /// log2 of the leaves.
        var shift: Int
        var isTables = false
    }

    /// More than so many separate ranges are invalidated by tag.
    static let maximumRanges = 32
    /// So many tables are told one by one; more neighbouring ones together.
    private static let separateTables = 8
    /// The leaves that are growing; empty if `end` is 0.
    private var start: UInt64 = 0
    private var end: UInt64 = 0
    private var shift = 63
    private var finished: [Range] = []
    private(set) var overflowed = false
    /// Tables taken out of the tree, linked through their first word.
    private var tables: UInt64 = 0
    /// The one at the end of them, and how many they are.
    private var lastTable: UInt64 = 0
    private var tableCount = 0
    private(set) var hasTables = false

    @inline(__always)
    var isEmpty: Bool { end == 0 && !overflowed && !hasTables }

    /// - Parameter shift: log2 of the leaf.
    @inline(__always)
    mutating func add(_ address: UInt64, bytes: UInt64, shift: Int) {
        if end == address, end != 0, shift == self.shift {
            end = address &+ bytes
            return
        }
        if end != 0 { finish(Range(start: start, end: end, shift: self.shift)) }
        (start, end, self.shift) = (address, address &+ bytes, shift)
    }

    /// What tables covered that were taken out; told before the leaves that are growing.
    mutating func addTables(_ address: UInt64, bytes: UInt64, shift: Int) {
        if finished.count >= Self.separateTables, let last = finished.last, last.isTables, last.end == address {
            finished[finished.count - 1].end = address &+ bytes
            return
        }
        finish(Range(start: address, end: address &+ bytes, shift: shift, isTables: true))
    }

    private mutating func finish(_ range: Range) {
        if finished.count < Self.maximumRanges {
            finished.append(range)
        } else {
            overflowed = true
        }
    }

    /// A table of zeros that nothing refers to any more.
    @inline(__always)
    mutating func add(table: UInt64, in memory: TableMemory) {
        memory.pointer(table).pointee = tables
        if tables == 0 { lastTable = table }
        tables = table
        tableCount &+= 1
        hasTables = true
    }

    @inline(__always)
    func forEachRange(_ body: (Range) -> Void) {
        for range in finished { body(range) }
        if end != 0 { body(Range(start: start, end: end, shift: shift)) }
    }

    /// After the invalidation: the tables can be used again, and the gather is empty.
    ///
    /// - Parameter settles: false: what is too much to keep waits for ``TableMemory/giveBack(_:)``.
    mutating func releaseTables(to memory: TableMemory, settles: Bool = true) {
        if tables != 0 { memory.put(chain: tables, last: lastTable, count: tableCount) }
        if settles { memory.settle() }
        clear()
    }

    @inline(__always)
    mutating func clear() {
        (start, end, tables, shift) = (0, 0, 0, 63)
        (lastTable, tableCount) = (0, 0)
        (hasTables, overflowed) = (false, false)
        if !finished.isEmpty { finished.removeAll(keepingCapacity: true) }
    }
}
