import IOMMU
import IOMMUObjects

/// The emulated host's physical memory.
///
/// | physical addresses (44 bits or more) | |
/// |---|---|
/// | 0x1_0000_0000, up to 64 GiB of address space | tables and queues of drivers |
/// | 1 TiB to 13.5 TiB | windows on memory objects |
/// | 13.5 TiB to 15.5 TiB | pages of processes that mappings use |
/// | 15.5 TiB to 16 TiB | pages of processes whose address space a device shares |
package final class Machine {
    /// What the SMMUs are built over.
    package let memory: MachineMemory
    private let tables: TableRAM
    private let windows: WindowTable
    /// Bytes of physical addresses for memory objects.
    package let windowPool: Pool
    /// Bytes of memory for tables.
    package let tablePool: Pool
    /// Where pages of processes appear whose address space a device shares.
    package let processSpace: AddressRange
    /// Where pages of processes appear that mappings use.
    package let lentSpace: AddressRange
    /// Bytes of physical addresses for those.
    package let lentPool: Pool

    /// - Parameters:
    ///   - outputAddressBits: the smallest OAS of the machine's SMMUs; below 44 everything moves down.
    ///   - tableSpace: bytes of address space for tables and queues; less is reserved where less can be had.
    package init(outputAddressBits: Int = 44, tableSpace: UInt64 = TableSpace.modest) throws(IOMMUError) {
        guard let layout = Layout(bits: outputAddressBits) else {
            throw IOMMUError(
                .EINVAL, .badOutputSize, "physical addresses of \(outputAddressBits) bits cannot be laid out",
                hint: "raise oas of the SMMUs")
        }
        tables = try TableRAM(
            base: layout.tables.start, space: try TableSpace(bytes: min(tableSpace, layout.tables.length)))
        windows = WindowTable(space: layout.windows)
        (processSpace, lentSpace) = (layout.processes, layout.lent)
        lentPool = Pool("physical addresses for pages of processes", capacity: layout.lent.length)
        windowPool = Pool("physical addresses", capacity: layout.windows.length)
        tablePool = Pool("memory for translation tables", capacity: tables.limit)
        memory = MachineMemory(
            tables: tables.memory, tableBase: tables.base, tableSize: tables.size, windows: windows
        )
    }

    /// Bytes of tables and queues in use.
    package var tableBytes: UInt64 { tables.used }

    /// Bytes of address space that tables and queues have.
    package var tableSpace: UInt64 { tables.size }

    // MARK: Client memory

    /// Gives a memory object physical addresses.
    ///
    /// - Returns: the physical address of its first byte.
    /// - Throws: `ENOMEM` if no range is free.
    @discardableResult
    package func addWindow(for object: MemoryObject) throws(IOMMUError) -> UInt64 {
        try windows.add(object)
    }

    /// Gives a memory object the physical addresses that it had before; false where they are not free.
    func addWindow(for object: MemoryObject, at base: UInt64) -> Bool { windows.add(object, at: base) }

    /// Ends a window; unknown bases are ignored.
    package func removeWindow(_ base: UInt64) { windows.remove(base) }

    // MARK: Data of devices

    /// Reads what a device reads; false if no client memory is there, or it was truncated.
    package func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        forEachPart(address, UInt64(buffer.count)) { object, offset, part in
            object.copyOut(offset: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[part]))
        }
    }

    /// Writes what a device writes; false if no writable client memory is there, or it was truncated.
    package func write(_ address: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        forEachPart(address, UInt64(buffer.count)) { object, offset, part in
            object.copyIn(offset: offset, from: UnsafeRawBufferPointer(rebasing: buffer[part]))
        }
    }

    /// Whether writable client memory lies behind every byte.
    package func canWrite(_ address: UInt64, length: UInt64) -> Bool {
        forEachPart(address, length) { object, offset, part in
            object.isWritable && object.isPresent(offset: offset, length: UInt64(part.count))
        }
    }

    /// Puts pages that a write would make on the account of whoever imported the memory. `EDQUOT`.
    func payForHoles(_ address: UInt64, length: UInt64) throws(IOMMUError) {
        var refusal: IOMMUError?
        _ = forEachPart(address, length) { object, offset, part in
            do throws(IOMMUError) {
                try object.payForHoles(offset: offset, length: UInt64(part.count))
                return true
            } catch {
                refusal = error
                return false
            }
        }
        if let refusal { throw refusal }
    }

    /// Takes a range window by window; false once one is missing or `body` says so.
    ///
    /// - Parameter body: gets the memory behind a part, where in it that lies, and which bytes of the range it is.
    @inline(__always)
    private func forEachPart(
        _ address: UInt64, _ length: UInt64,
        _ body: (_ object: MemoryObject, _ offset: UInt64, _ part: Range<Int>) -> Bool
    ) -> Bool {
        var done: UInt64 = 0
        while done < length {
            guard let window = windows.find(address &+ done) else { return false }
            let offset = address &+ done &- window.base
            let count = min(length &- done, window.last &- window.base &- offset &+ 1)
            let start = Int(truncatingIfNeeded: done)
            guard body(window.object, offset, start..<start &+ Int(truncatingIfNeeded: count)) else { return false }
            done &+= count
        }
        return true
    }
}

extension Machine: PageSource {
    /// Physical addresses of tables and queues.
    package var range: AddressRange { tables.range }

    /// Zeroed table memory, aligned to its size.
    ///
    /// - Parameter bytes: a power of two from 4 KiB on.
    /// - Returns: its physical address.
    /// - Throws: `ENOMEM`.
    package func allocatePages(bytes: UInt64) throws(IOMMUError) -> UInt64 {
        try tables.allocate(bytes: bytes)
    }

    /// Takes back what ``allocatePages(bytes:)`` gave, of the same size.
    package func freePages(_ address: UInt64, bytes: UInt64) { tables.free(address, bytes: bytes) }

    /// An address outside table memory is a mistake of the caller; it can never reach outside the reservation.
    @inline(__always)
    package func pointer(_ tableAddress: UInt64) -> UnsafeMutableRawPointer {
        let offset = tableAddress &- memory.tableBase
        assert(offset < memory.tableSize)
        return memory.tables + Int(truncatingIfNeeded: offset & (memory.tableSize &- 1))
    }
}

/// How the physical address space is divided.
private struct Layout {
    let tables: AddressRange
    let windows: AddressRange
    let lent: AddressRange
    let processes: AddressRange

    init?(bits: Int) {
        let unit = UInt64(1) << UInt64(min(max(bits, 32), 44) - 5)
        let isWide = bits >= 44
        guard
            let tables = isWide
                ? AddressRange(start: 1 << 32, length: TableSpace.standard)
                : AddressRange(start: 8 * unit, length: min(8 * unit, TableSpace.standard)),
            let windows = AddressRange(start: isWide ? 1 << 40 : 16 * unit, last: 27 * unit - 1),
            let lent = AddressRange(start: 27 * unit, length: 4 * unit),
            let processes = AddressRange(start: 31 * unit, length: unit)
        else { return nil }
        self.tables = tables
        self.windows = windows
        self.lent = lent
        self.processes = processes
    }
}
