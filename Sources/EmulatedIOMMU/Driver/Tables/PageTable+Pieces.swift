import IOMMU
import LinuxIO

/// What long work does to a tree, a step at a time.
extension PageTable {
    /// Makes the tables that a run of leaves needs, empty.
    ///
    /// - Throws: `ENOMEM`, `EDQUOT`; then nothing has changed.
    func prepare(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) throws(IOMMUError) {
        try reserve(3 &- format.startLevel)
        _ = table(for: iova, level: leafLevel(iova: iova, pa: pa, length: length, hugePages))
    }

    /// Takes out the table that was made for a run, and those above it, as far as they are empty.
    func withdraw(
        run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool, gather: inout InvalidationGather
    ) {
        let level = leafLevel(iova: iova, pa: pa, length: length, hugePages)
        var (table, reached) = (root, format.startLevel)
        // What is missing further down was not made, or is gone.
        while reached < level {
            let descriptor = memory.load(table &+ index(iova, level: reached) &* 8)
            guard isTable(descriptor, level: reached) else { break }
            table = address(in: descriptor, level: reached)
            reached &+= 1
        }
        guard table != root, memory.count(of: table).pointee == 0 else { return }
        prune(iova, table: table, level: reached, gather: &gather)
        gather.addTables(iova, bytes: format.granule, shift: format.granuleBits)
    }

    /// Fills the leaves of a run whose tables are there.
    func fill(run iova: UInt64, pa: UInt64, length: UInt64, access: IOMMU.Access, hugePages: Bool) {
        let leaf = attributes.bits(access, clean: startsClean)
        let written = mapRun(iova: iova, pa: pa, length: length, leaf, hugePages)
        assert(written == length, "a run was not prepared")
    }

    /// Frees tables from the bottom up; only when nothing can walk or cache the tree any more.
    ///
    /// - Returns: whether only the root is left.
    func dismantle(_ budget: inout TurnBudget) -> Bool {
        recent.pointee.tag = .max
        while let path = lowestTable() {
            path.slot.pointee = 0
            memory.count(of: path.table).pointee = 0
            memory.release(path.table, bytes: memory.tableBytes)
            if budget.isSpent(after: 2) { return false }
        }
        return true
    }

    /// A table without tables below it, and the entry that names it; leaves on the way to it are cleared.
    private func lowestTable() -> (table: UInt64, slot: UnsafeMutablePointer<UInt64>)? {
        var (table, level) = (root, format.startLevel)
        var found: (table: UInt64, slot: UnsafeMutablePointer<UInt64>)?
        while level < 3, let slot = firstTable(in: table, level: level) {
            table = address(in: slot.pointee, level: level)
            found = (table, slot)
            level &+= 1
        }
        return found
    }

    private func firstTable(in table: UInt64, level: Int) -> UnsafeMutablePointer<UInt64>? {
        let (words, count) = (memory.pointer(table), Int(entries(level: level)))
        var index = 0
        while let next = Self.firstUsed(words, from: index, to: count) {
            if isTable(words[next], level: level) { return words + next }
            words[next] = 0
            index = next &+ 1
        }
        return nil
    }
}
