import IOMMU

/// What unmapping left to invalidate, and the tables that can be used again once that is done.
struct InvalidationGather {
    /// More than so many separate ranges are invalidated by tag.
    static let maximumRanges = 32
    /// The range that is growing; empty if `end` is 0.
    private var start: UInt64 = 0
    private var end: UInt64 = 0
    private var finished: [(start: UInt64, end: UInt64)] = []
    private(set) var overflowed = false
    /// Tables taken out of the tree, linked through their first word.
    private var tables: UInt64 = 0
    private(set) var hasTables = false
    /// log2 of the smallest leaf that was seen.
    private(set) var leafShift = 63

    @inline(__always)
    var isEmpty: Bool { end == 0 && !overflowed && !hasTables }

    /// - Parameter shift: log2 of the leaf.
    @inline(__always)
    mutating func add(_ address: UInt64, bytes: UInt64, shift: Int) {
        if shift < leafShift { leafShift = shift }
        if end == address, end != 0 {
            end = address &+ bytes
            return
        }
        if end != 0 { finish() }
        (start, end) = (address, address &+ bytes)
    }

    private mutating func finish() {
        if finished.count < Self.maximumRanges {
            finished.append((start, end))
        } else {
            overflowed = true
        }
    }

    @inline(__always)
    mutating func add(table: UInt64, in memory: TableMemory) {
        memory.pointer(table).pointee = tables
        tables = table
        hasTables = true
    }

    /// The ranges, ends exclusive.
    @inline(__always)
    func forEachRange(_ body: (UInt64, UInt64) -> Void) {
        for range in finished { body(range.start, range.end) }
        if end != 0 { body(start, end) }
    }

    /// After the invalidation: the tables can be used again, and the gather is empty.
    mutating func releaseTables(to memory: TableMemory) {
        while tables != 0 {
            let table = tables
            tables = memory.pointer(table).pointee
            memory.pointer(table).pointee = 0
            memory.put(table)
        }
        memory.settle()
        clear()
    }

    @inline(__always)
    mutating func clear() {
        (start, end, tables, leafShift) = (0, 0, 0, 63)
        (hasTables, overflowed) = (false, false)
        if !finished.isEmpty { finished.removeAll(keepingCapacity: true) }
    }
}
