/// Single 4 KiB pages and 2 MiB blocks in a tree that starts at level 0: what guests do most.
extension PageTable {
    /// Bytes of a block at level 2 with 4 KiB pages.
    static let blockSize: UInt64 = 2 << 20

    @inline(__always)
    private func words(_ table: UInt64) -> UnsafeMutablePointer<UInt64> {
        (origin + Int(truncatingIfNeeded: table)).assumingMemoryBound(to: UInt64.self)
    }

    @inline(__always)
    private func slot(_ table: UInt64, _ index: UInt64) -> UnsafeMutablePointer<UInt64> {
        (origin + Int(truncatingIfNeeded: table &+ (index & 511) &* 8)).assumingMemoryBound(to: UInt64.self)
    }

    @inline(__always)
    private func live(_ table: UInt64) -> UnsafeMutablePointer<UInt16> {
        countOrigin + Int(truncatingIfNeeded: table &>> 12)
    }

    /// Only after three tables have been reserved, unless ``recent`` has the table.
    ///
    /// - Returns: false if something is mapped there.
    @inline(__always)
    func mapPage(_ iova: UInt64, addressAndAttributes: UInt64) -> Bool {
        var table = recent.pointee.table
        if recent.pointee.tag != iova &>> 21 {
            table = lowestTable(forPage: iova)
            guard table != 0 else { return false }
            (recent.pointee.tag, recent.pointee.table) = (iova &>> 21, table)
        }
        let entry = slot(table, iova &>> 12)
        guard entry.pointee == 0 else { return false }
        entry.pointee = addressAndAttributes
        live(table).pointee &+= 1
        return true
    }

    @inline(__always)
    private func lowestTable(forPage iova: UInt64) -> UInt64 {
        guard let first = child(slot(root, iova &>> 39), of: nil),
            let second = child(slot(first, iova &>> 30), of: live(first)),
            let third = child(slot(second, iova &>> 21), of: live(second))
        else { return 0 }
        return third
    }

    /// The table that an entry names, made if there is none; nil if it is a block.
    @inline(__always)
    private func child(
        _ entry: UnsafeMutablePointer<UInt64>, of count: UnsafeMutablePointer<UInt16>?
    ) -> UInt64? {
        let descriptor = entry.pointee
        if descriptor & 3 == LeafAttributes.table { return descriptor & Self.addressMask }
        guard descriptor == 0 else { return nil }
        let table = takeTable()
        entry.pointee = table | LeafAttributes.table
        if let count { count.pointee &+= 1 }
        return table
    }

    /// Only after two tables have been reserved.
    ///
    /// - Returns: false if something is mapped there.
    func mapBlock(_ iova: UInt64, addressAndAttributes: UInt64) -> Bool {
        guard let first = child(slot(root, iova &>> 39), of: nil),
            let second = child(slot(first, iova &>> 30), of: live(first))
        else { return false }
        let entry = slot(second, iova &>> 21)
        if entry.pointee == 0 {
            live(second).pointee &+= 1
        } else if !makeRoom(at: iova, in: entry, level: 2) {
            return false
        }
        entry.pointee = addressAndAttributes
        return true
    }

    /// - Returns: false, with nothing changed, if no block of this size maps the address.
    func unmapBlock(_ iova: UInt64, gather: inout InvalidationGather) -> Bool {
        let entry0 = slot(root, iova &>> 39)
        guard entry0.pointee & 3 == LeafAttributes.table else { return false }
        let first = entry0.pointee & Self.addressMask
        let entry1 = slot(first, iova &>> 30)
        guard entry1.pointee & 3 == LeafAttributes.table else { return false }
        let second = entry1.pointee & Self.addressMask
        let entry2 = slot(second, iova &>> 21)
        guard entry2.pointee & 3 == LeafAttributes.valid else { return false }
        entry2.pointee = 0
        gather.add(iova, bytes: Self.blockSize, shift: 21)
        dropEntry(at: iova, of: second, under: entry1, of: first, under: entry0, gather: &gather)
        return true
    }

    /// The second table from the root has one entry fewer: takes out what that leaves empty.
    @inline(__always)
    private func dropEntry(
        at iova: UInt64, of second: UInt64, under entry1: UnsafeMutablePointer<UInt64>, of first: UInt64,
        under entry0: UnsafeMutablePointer<UInt64>, gather: inout InvalidationGather
    ) {
        live(second).pointee &-= 1
        guard live(second).pointee == 0 else { return }
        guard !mapsBlocks else { return tableEmptied(at: iova, level: 2, gather: &gather) }
        entry1.pointee = 0
        giveBack(second, to: &gather)
        live(first).pointee &-= 1
        guard live(first).pointee == 0 else { return }
        entry0.pointee = 0
        giveBack(first, to: &gather)
    }

    /// - Returns: false, with nothing changed, if no page of this size maps the address.
    @inline(__always)
    func unmapPage(_ iova: UInt64, gather: inout InvalidationGather) -> Bool {
        if recent.pointee.tag == iova &>> 21 {
            let table = recent.pointee.table
            let entry = slot(table, iova &>> 12)
            guard entry.pointee & 3 == 3 else { return false }
            // Where empty tables go at once, the last page takes the way that knows the parents.
            if mapsBlocks || live(table).pointee != 1 {
                entry.pointee = 0
                live(table).pointee &-= 1
                gather.add(iova, bytes: 4096, shift: 12)
                if live(table).pointee == 0 { tableEmptied(at: iova, level: 3, gather: &gather) }
                return true
            }
        }
        return unmapPageByWalk(iova, gather: &gather)
    }

    private func unmapPageByWalk(_ iova: UInt64, gather: inout InvalidationGather) -> Bool {
        let entry0 = slot(root, iova &>> 39)
        guard entry0.pointee & 3 == LeafAttributes.table else { return false }
        let first = entry0.pointee & Self.addressMask
        let entry1 = slot(first, iova &>> 30)
        guard entry1.pointee & 3 == LeafAttributes.table else { return false }
        let second = entry1.pointee & Self.addressMask
        let entry2 = slot(second, iova &>> 21)
        guard entry2.pointee & 3 == LeafAttributes.table else { return false }
        let third = entry2.pointee & Self.addressMask
        let entry3 = slot(third, iova &>> 12)
        guard entry3.pointee & 3 == 3 else { return false }
        entry3.pointee = 0
        gather.add(iova, bytes: 4096, shift: 12)
        live(third).pointee &-= 1
        guard live(third).pointee == 0, !mapsBlocks else {
            if live(third).pointee == 0 { tableEmptied(at: iova, level: 3, gather: &gather) }
            (recent.pointee.tag, recent.pointee.table) = (iova &>> 21, third)
            return true
        }
        recent.pointee.tag = .max
        entry2.pointee = 0
        giveBack(third, to: &gather)
        dropEntry(at: iova, of: second, under: entry1, of: first, under: entry0, gather: &gather)
        return true
    }
}
