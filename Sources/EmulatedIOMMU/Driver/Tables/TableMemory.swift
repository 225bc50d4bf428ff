import Glibc
import IOMMU
import LinuxIO

/// Table RAM as the page tables use it: words by address, live entries per table, and a stock of empty tables.
///
/// Hot: everything is reached through pointers that never change, without a call to the page source.
final class TableMemory {
    /// Where physical address 0 would be mapped; only addresses of table memory lead anywhere.
    let origin: UnsafeMutableRawPointer
    private let source: any PageSource
    /// Live entries of each table, by 4 KiB page number within the source's range; its zero pages cost nothing.
    private let counts: UnsafeMutablePointer<UInt16>
    /// The count of the page at physical address 0 would be here.
    let countOrigin: UnsafeMutablePointer<UInt16>
    private let stock: UnsafeMutablePointer<Stock>
    /// Bytes of one table: the granule.
    let tableBytes: UInt64

    /// Empty tables, linked through their first word, which is therefore an invalid descriptor.
    private struct Stock {
        var head: UInt64 = 0
        var count = 0
        var isHeld = false
    }

    /// More than this stays in stock only while reserved.
    private static let kept = 2048
    /// Each costs a call of the system.
    private static let returnedAtOnce = 1024

    init(source: any PageSource, tableBytes: UInt64) throws(IOMMUError) {
        let first = try source.allocatePages(bytes: tableBytes)
        guard let counts = calloc(Int(source.range.length >> 12), 2) else {
            source.freePages(first, bytes: tableBytes)
            throw IOMMUError(
                .ENOMEM, .noTableMemory, "no memory is left for the account of translation tables",
                hint: "unmap some, or give the daemon's unit more memory")
        }
        (self.source, self.tableBytes) = (source, tableBytes)
        origin = source.pointer(first) - Int(first)
        self.counts = counts.assumingMemoryBound(to: UInt16.self)
        countOrigin = self.counts - Int(source.range.start >> 12)
        stock = .allocate(capacity: 1)
        stock.initialize(to: Stock())
        put(first)
    }

    deinit {
        trim(to: 0)
        free(counts)
        stock.deallocate()
    }

    // MARK: Words

    @inline(__always)
    func pointer(_ address: UInt64) -> UnsafeMutablePointer<UInt64> {
        (origin + Int(truncatingIfNeeded: address)).assumingMemoryBound(to: UInt64.self)
    }

    @inline(__always)
    func load(_ address: UInt64) -> UInt64 { pointer(address).pointee }

    @inline(__always)
    func store(_ value: UInt64, at address: UInt64) { pointer(address).pointee = value }

    /// Live entries of a table.
    @inline(__always)
    func count(of table: UInt64) -> UnsafeMutablePointer<UInt16> {
        countOrigin + Int(truncatingIfNeeded: table &>> 12)
    }

    // MARK: Stock of empty tables

    /// Makes the next `tables` calls of ``take()`` succeed.
    @inline(__always)
    func reserve(_ tables: Int) throws(IOMMUError) {
        guard stock.pointee.count < tables else { return }
        try fill(tables)
    }

    /// ``reserve(_:)``, until ``letGo()`` also against what is released meanwhile.
    func hold(_ tables: Int) throws(IOMMUError) {
        try reserve(tables)
        stock.pointee.isHeld = true
    }

    func letGo() {
        stock.pointee.isHeld = false
        settle()
    }

    private func fill(_ tables: Int) throws(IOMMUError) {
        let before = stock.pointee.count
        while stock.pointee.count < tables {
            do {
                try put(allocate(bytes: tableBytes))
            } catch {
                trim(to: before)
                throw error
            }
        }
    }

    /// An empty table; only after ``reserve(_:)``.
    @inline(__always)
    func take() -> UInt64 {
        let table = stock.pointee.head
        let words = pointer(table)
        stock.pointee.head = words.pointee
        stock.pointee.count &-= 1
        words.pointee = 0
        return table
    }

    /// Takes back a table whose words are all zero.
    @inline(__always)
    func put(_ table: UInt64) {
        pointer(table).pointee = stock.pointee.head
        stock.pointee.head = table
        stock.pointee.count &+= 1
    }

    /// Takes back tables that are linked through their first words, whose other words are all zero.
    func put(chain first: UInt64, last: UInt64, count: Int) {
        pointer(last).pointee = stock.pointee.head
        stock.pointee.head = first
        stock.pointee.count &+= count
    }

    /// Returns to the source what a large operation left over. What long work left, ``giveBack(_:)`` returns.
    @inline(__always)
    func settle() {
        let count = stock.pointee.count
        if count > Self.kept, !stock.pointee.isHeld { trim(to: max(Self.kept, count &- Self.returnedAtOnce)) }
    }

    /// Returns to the source what is more than is kept.
    ///
    /// - Returns: whether that is done.
    func giveBack(_ budget: inout TurnBudget) -> Bool {
        while stock.pointee.count > Self.kept {
            source.freePages(take(), bytes: tableBytes)
            if budget.isSpent(after: 2) { return false }
        }
        return true
    }

    private func trim(to tables: Int) {
        while stock.pointee.count > tables { source.freePages(take(), bytes: tableBytes) }
    }

    // MARK: Other memory

    /// Zeroed memory for tables and queues.
    func allocate(bytes: UInt64) throws(IOMMUError) -> UInt64 { try source.allocatePages(bytes: bytes) }

    func release(_ address: UInt64, bytes: UInt64) { source.freePages(address, bytes: bytes) }
}
