import IOMMU

/// Tables that became empty, the oldest replaced first.
struct EmptyTables {
    /// First input address, with the level in the low bits.
    private var keys: [UInt64] = []
    private var oldest = 0
    /// So many may stay in a tree with nothing in them.
    static let capacity = 32

    /// - Returns: what is no longer kept; nil if nothing has to go.
    mutating func insert(_ address: UInt64, level: Int) -> (address: UInt64, level: Int)? {
        let key = address | UInt64(level)
        if keys.contains(key) { return nil }
        guard keys.count >= Self.capacity else {
            keys.append(key)
            return nil
        }
        let gone = keys[oldest]
        keys[oldest] = key
        oldest = (oldest + 1) % Self.capacity
        return (gone & ~3, Int(gone & 3))
    }
}

extension PageTable {
    /// A table has lost its last entry. It stays where it is, for the next mapping, until many others have become empty
    /// after it.
    @inline(never)
    func tableEmptied(at address: UInt64, level: Int, gather: inout InvalidationGather) {
        let span = UInt64(1) << UInt64(format.shift(level - 1))
        guard let gone = emptied.pointee.insert(address & ~(span - 1), level: level) else { return }
        var table = root
        for step in format.startLevel..<gone.level {
            let descriptor = memory.load(table &+ index(gone.address, level: step) &* 8)
            guard isTable(descriptor, level: step) else { return }
            table = self.address(in: descriptor, level: step)
        }
        guard memory.count(of: table).pointee == 0 else { return }
        prune(gone.address, table: table, level: gone.level, gather: &gather)
        // What it mapped is forgotten; the way there is the same for all of its addresses, so that one will do.
        gather.addTables(gone.address, bytes: format.granule, shift: format.granuleBits)
    }

    /// Takes out the table that an entry names, with all below it: what it maps is unmapped as a block would be.
    ///
    /// - Returns: the first address behind it.
    func takeOut(
        _ descriptor: UInt64, at start: UInt64, level: Int, in table: UInt64, gather: inout InvalidationGather
    ) -> UInt64 {
        let (shift, bytes) = (format.shift(level), UInt64(1) << UInt64(format.shift(level)))
        memory.store(0, at: table &+ index(start, level: level) &* 8)
        release(table: address(in: descriptor, level: level), level: level + 1, into: &gather)
        gather.addTables(start, bytes: bytes, shift: shift)
        gather.add(start, bytes: bytes, shift: shift)
        if table != root {
            let live = memory.count(of: table)
            live.pointee &-= 1
            if live.pointee == 0 { tableEmptied(at: start, level: level, gather: &gather) }
        }
        return start &+ bytes
    }

    /// Puts an empty table, or one of empty tables, out of the way of a block.
    ///
    /// - Returns: false, with nothing changed, if something is mapped there.
    func makeRoom(at start: UInt64, in slot: UnsafeMutablePointer<UInt64>, level: Int) -> Bool {
        guard isTable(slot.pointee, level: level) else { return false }
        let table = address(in: slot.pointee, level: level)
        guard isEmpty(table, level: level + 1) else { return false }
        slot.pointee = 0
        var gather = InvalidationGather()
        release(table: table, level: level + 1, into: &gather)
        let shift = format.shift(level)
        gather.addTables(start, bytes: 1 << UInt64(shift), shift: shift)
        forget(&gather)
        return true
    }

    func forget(_ gather: inout InvalidationGather) {
        if let forgetTables { forgetTables(&gather) } else { gather.releaseTables(to: memory) }
    }

    private func isEmpty(_ table: UInt64, level: Int) -> Bool {
        if memory.count(of: table).pointee == 0 { return true }
        guard level < 3 else { return false }
        let words = memory.pointer(table)
        for entry in 0..<Int(entries(level: level)) where words[entry] != 0 {
            guard isTable(words[entry], level: level) else { return false }
            guard isEmpty(address(in: words[entry], level: level), level: level + 1) else { return false }
        }
        return true
    }

    /// Clears tables that are out of the tree; at most four levels deep.
    private func release(table: UInt64, level: Int, into gather: inout InvalidationGather) {
        recent.pointee.tag = .max
        let (words, count) = (memory.pointer(table), Int(entries(level: level)))
        if memory.count(of: table).pointee > 0 {
            var entry = 0
            while level < 3, let next = Self.firstUsed(words, from: entry, to: count) {
                entry = next &+ 1
                guard isTable(words[next], level: level) else { continue }
                release(table: address(in: words[next], level: level), level: level + 1, into: &gather)
            }
            words.update(repeating: 0, count: count)
            memory.count(of: table).pointee = 0
        }
        giveBack(table, to: &gather)
    }
}
