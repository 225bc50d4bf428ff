import IOMMU

extension PageTable {
    /// Clears what maps a range; holes are passed over, and a block that the range cuts is split first.
    ///
    /// Cannot fail: the tables that splitting needs were set aside.
    @inline(__always)
    func unmap(iova: UInt64, length: UInt64, gather: inout InvalidationGather) {
        if isStandard, length == 4096, iova & 4095 == 0, iova <= format.aperture.last,
            unmapPage(iova, gather: &gather)
        {
            return
        }
        if isStandard, length == Self.blockSize, iova & (Self.blockSize &- 1) == 0, iova <= format.aperture.last,
            unmapBlock(iova, gather: &gather)
        {
            return
        }
        unmapRange(iova: iova, length: length, gather: &gather)
    }

    private func unmapRange(iova: UInt64, length: UInt64, gather: inout InvalidationGather) {
        guard length > 0, format.aperture.contains(iova) else { return }
        let (end, wraps) = iova.addingReportingOverflow(length &- 1)
        defer { if mapsBlocks, spareTables.count < Self.spareCount { refillSpareTables() } }
        let last = wraps ? format.aperture.last : min(end, format.aperture.last)
        var address = iova & ~(format.granule &- 1)
        while address <= last {
            let next = unmapRun(address, last: last, gather: &gather)
            // The end of a 64-bit space is out of reach: apertures have at most 52 bits.
            address = next
        }
    }

    /// Clears consecutive leaves in one table.
    ///
    /// - Returns: the first address that was not looked at.
    @inline(__always)
    private func unmapRun(_ address: UInt64, last: UInt64, gather: inout InvalidationGather) -> UInt64 {
        var table = root
        var level = format.startLevel
        let isWhole = mapsBlocks && covers(address, last: last, level: 2)
        if !isWhole, recent.pointee.tag == address &>> UInt64(format.shift(2)) {
            (table, level) = (recent.pointee.table, 3)
        }
        var descriptor: UInt64 = 0
        while true {
            descriptor = memory.load(table &+ index(address, level: level) &* 8)
            guard isTable(descriptor, level: level) else { break }
            if isWhole, level >= format.firstBlockLevel, covers(address, last: last, level: level) {
                return takeOut(descriptor, at: address, level: level, in: table, gather: &gather)
            }
            table = self.address(in: descriptor, level: level)
            level &+= 1
        }
        let shift = UInt64(format.shift(level))
        let size = UInt64(1) &<< shift
        guard descriptor & 1 != 0 else { return (address | (size &- 1)) &+ 1 }
        let start = address & ~(size &- 1)
        if start != address || last &- start < size &- 1 {
            split(descriptor, at: start, level: level, in: table, gather: &gather)
            return address
        }
        if level == 3 { (recent.pointee.tag, recent.pointee.table) = (address &>> UInt64(format.shift(2)), table) }
        return clear(from: address, last: last, table: table, level: level, gather: &gather)
    }

    /// Whether all of what an entry at a level maps is to go.
    @inline(__always)
    private func covers(_ address: UInt64, last: UInt64, level: Int) -> Bool {
        let mask = (UInt64(1) &<< UInt64(format.shift(level))) &- 1
        return address & mask == 0 && last &- address >= mask
    }

    @inline(__always)
    private func clear(
        from address: UInt64, last: UInt64, table: UInt64, level: Int, gather: inout InvalidationGather
    ) -> UInt64 {
        let shift = UInt64(format.shift(level))
        let first = index(address, level: level)
        // Whole leaves only; a rest is for the next round.
        let whole = (last &- address &+ 1) &>> shift
        let count = Int(min(entries(level: level) &- first, whole))
        let words = memory.pointer(table &+ first &* 8)
        var cleared = 0
        while cleared < count, isLeaf(words[cleared], level: level) {
            words[cleared] = 0
            cleared &+= 1
        }
        let bytes = UInt64(cleared) &<< shift
        gather.add(address, bytes: bytes, shift: Int(shift))
        if table != root {
            let live = memory.count(of: table)
            live.pointee &-= UInt16(truncatingIfNeeded: cleared)
            if live.pointee == 0 { emptied(table, at: address, level: level, gather: &gather) }
        }
        return address &+ bytes
    }

    private func emptied(_ table: UInt64, at address: UInt64, level: Int, gather: inout InvalidationGather) {
        if mapsBlocks {
            tableEmptied(at: address, level: level, gather: &gather)
        } else {
            prune(address, table: table, level: level, gather: &gather)
        }
    }

    /// Takes an empty table out of the tree, and its parents if that empties them.
    func prune(_ address: UInt64, table: UInt64, level: Int, gather: inout InvalidationGather) {
        recent.pointee.tag = .max
        var path: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var current = root
        for step in format.startLevel..<level {
            withUnsafeMutableBytes(of: &path) { $0.storeBytes(of: current, toByteOffset: step &* 8, as: UInt64.self) }
            let slot = current &+ index(address, level: step) &* 8
            current = self.address(in: memory.load(slot), level: step)
        }
        var child = table
        var step = level &- 1
        while step >= format.startLevel {
            let parent = withUnsafeBytes(of: &path) { $0.load(fromByteOffset: step &* 8, as: UInt64.self) }
            memory.store(0, at: parent &+ index(address, level: step) &* 8)
            giveBack(child, to: &gather)
            guard parent != root else { return }
            let live = memory.count(of: parent)
            live.pointee &-= 1
            guard live.pointee == 0 else { return }
            child = parent
            step &-= 1
        }
    }

    /// Sets tables aside for splitting blocks, so that unmapping never has to allocate: two for each end of a range.
    func refillSpareTables() {
        while spareTables.count < Self.spareCount {
            guard (try? memory.reserve(1)) != nil else { return }
            spareTables.append(takeTable())
        }
    }

    /// Replaces a block by a table of leaves one level down that map the same.
    private func split(
        _ descriptor: UInt64, at start: UInt64, level: Int, in table: UInt64, gather: inout InvalidationGather
    ) {
        guard let child = spareTables.popLast() else {
            // Without memory for the table the whole block goes: what is left of it faults, but nothing stays
            // reachable that was unmapped.
            memory.store(0, at: table &+ index(start, level: level) &* 8)
            if table != root { memory.count(of: table).pointee &-= 1 }
            gather.add(start, bytes: 1 &<< UInt64(format.shift(level)), shift: format.shift(level))
            return
        }
        let words = memory.pointer(child)
        let shift = UInt64(format.shift(level + 1))
        let mask = (UInt64(1) << UInt64(format.shift(level))) - 1
        let base = address(in: descriptor, level: level) & ~mask
        let kind: UInt64 = level + 1 == 3 ? 3 : 1
        // Everything but address and type is inherited, dirty state too.
        let rest = descriptor & ~Self.addressMask & ~3
        for entry in 0..<format.entriesPerTable {
            words[entry] = addressBits(base &+ UInt64(entry) &<< shift) | rest | kind
        }
        memory.count(of: child).pointee = UInt16(format.entriesPerTable)
        let slot = table &+ index(start, level: level) &* 8
        if let breakBeforeMake {
            memory.store(0, at: slot)
            breakBeforeMake(start, mask &+ 1)
        }
        memory.store(addressBits(child) | LeafAttributes.table, at: slot)
        gather.add(start, bytes: mask &+ 1, shift: format.shift(level))
    }
}
