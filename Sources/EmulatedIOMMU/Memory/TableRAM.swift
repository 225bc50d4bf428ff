import CLinux
import Glibc
import IOMMU

/// The part of physical memory that belongs to drivers: tables and queues.
///
/// One reservation, handed out in powers of two with natural alignment. Freed blocks are kept by size; the
/// first few stay resident and are zeroed when they are used again, the others go back to the system at once.
final class TableRAM {
    let range: AddressRange
    private let space: TableSpace
    /// Bytes handed out and not freed.
    private(set) var used: UInt64 = 0
    /// Bytes that may be handed out together.
    let limit: UInt64
    /// Bytes from the start of the space that can be written.
    private var committed: UInt64 = 0
    private var next: UInt64 = 0
    /// By order (log2 of 4 KiB pages): offsets of free blocks with unknown content, and of free blocks that read zero.
    private var dirty: [[UInt64]]
    private var clean: [[UInt64]]
    private static let smallest = 12
    private static let residentBlocksPerOrder = 2048
    /// What becomes writable at a time: few calls, and little of what the system lets the daemon have.
    private static let commitStep: UInt64 = 16 << 20

    /// - Parameter base: the physical address of the space.
    init(base: UInt64, space: TableSpace) throws(IOMMUError) {
        guard let range = AddressRange(start: base, length: space.size) else {
            throw IOMMUError(
                .EINVAL, .badOutputSize,
                "\(span(space.size, at: base)) for tables do not fit into the physical addresses",
                hint: "lower backend.table_space")
        }
        self.range = range
        self.space = space
        limit = min(space.size, TableSpace.usable)
        let orders = space.size.trailingZeroBitCount - TableRAM.smallest + 1
        dirty = Array(repeating: [], count: orders)
        clean = dirty
    }

    /// The physical address of the first byte.
    var base: UInt64 { range.start }
    /// Bytes, a power of two.
    var size: UInt64 { space.size }
    /// Where the first byte lies in the daemon.
    var memory: UnsafeMutableRawPointer { space.memory }

    func allocate(bytes: UInt64) throws(IOMMUError) -> UInt64 {
        let order = bytes.trailingZeroBitCount - TableRAM.smallest
        guard bytes.nonzeroBitCount == 1, order >= 0 else {
            throw IOMMUError(
                .EINVAL, .badTableSize, "no table has \(bytes) bytes", hint: "ask for a power of two from 4096 on")
        }
        guard order < clean.count, bytes <= limit &- used else { throw outOfMemory() }
        let offset: UInt64
        if let block = dirty[order].popLast() {
            memset(memory + Int(block), 0, Int(bytes))
            offset = block
        } else if let block = clean[order].popLast() ?? split(to: order) {
            offset = block
        } else {
            let start = (next &+ bytes &- 1) & ~(bytes &- 1)
            guard start <= size, bytes <= size &- start, commit(start &+ bytes) else { throw outOfMemory() }
            keepGap(from: next, to: start)
            next = start &+ bytes
            offset = start
        }
        used &+= bytes
        return base &+ offset
    }

    func free(_ address: UInt64, bytes: UInt64) {
        let order = bytes.trailingZeroBitCount - TableRAM.smallest
        let offset = address &- base
        guard bytes.nonzeroBitCount == 1, order >= 0, order < clean.count, offset < next,
            offset & (bytes &- 1) == 0, used >= bytes
        else { return assertionFailure("freeing what was not allocated") }
        used &-= bytes
        if order < 4, dirty[order].count < TableRAM.residentBlocksPerOrder {
            dirty[order].append(offset)
        } else {
            madvise(memory + Int(offset), Int(bytes), MADV_DONTNEED)
            clean[order].append(offset)
        }
    }

    /// A block of `order` out of the smallest larger one that is free; the rest stays free.
    private func split(to order: Int) -> UInt64? {
        guard let from = (order + 1..<clean.count).first(where: { !clean[$0].isEmpty }),
            let block = clean[from].popLast()
        else { return nil }
        for half in order..<from {
            clean[half].append(block &+ (UInt64(1) << UInt64(half + TableRAM.smallest)))
        }
        return block
    }

    /// Makes the space writable up to `end`; false where the system has no more memory for the daemon.
    private func commit(_ end: UInt64) -> Bool {
        guard end > committed else { return true }
        let wanted = min(size, (end &+ Self.commitStep &- 1) & ~(Self.commitStep &- 1))
        for goal in wanted == end ? [end] : [wanted, end]
        where clinux_commit(memory + Int(committed), goal &- committed) == 0 {
            committed = goal
            return true
        }
        return false
    }

    /// What alignment skipped is as good as any other untouched memory.
    private func keepGap(from start: UInt64, to end: UInt64) {
        var offset = start
        while offset < end {
            let order = offset.trailingZeroBitCount
            clean[order - TableRAM.smallest].append(offset)
            offset &+= UInt64(1) << UInt64(order)
        }
    }

    private func outOfMemory() -> IOMMUError {
        IOMMUError(
            .ENOMEM, .noTableMemory, "no memory is left for translation tables: they use \(used) bytes of \(limit)",
            hint: "map larger aligned pieces so that fewer tables are needed, or unmap some; "
                + "backend.table_space and the daemon's limits of memory bound what there is",
            ["used": .number(used), "limit": .number(limit)]
        )
    }
}
