/// How entries reach memory and the SMMU learns of it; tests put an observer in between.
package protocol EntryMedium: AnyObject {
    /// One single-copy-atomic store of 8 bytes.
    func store(_ value: UInt64, at address: UInt64)
    /// Makes the SMMU forget the entry: CFGI and CMD_SYNC.
    func synchronize(_ scope: EntryScope)
}

/// Whose cached configuration a change concerns.
package enum EntryScope {
    case ste(streamID: UInt32)
    case cd(streamIDs: [UInt32], substreamID: UInt32)
    /// A leaf of the CD table, too.
    case cdTable(streamIDs: [UInt32], substreamID: UInt32)
}

/// Takes an entry from any value to any value in the fewest writes; hitless where the bits that the SMMU looks at
/// differ in one word only, through V = 0 where they do not.
struct EntryWriter<Entry: TableEntry> {
    let medium: any EntryMedium
    /// Of the entry in memory.
    let address: UInt64
    let scope: EntryScope

    /// The first state to go through, and the words whose used bits still have to change after it.
    static func plan(from current: Entry, to target: Entry) -> (prepared: Entry, critical: [Int]) {
        let (used, targetUsed, safe) = (current.usedBits, target.usedBits, current.safeBits(toward: target))
        var (prepared, critical) = (current, [Int]())
        for index in 0..<8 {
            let fixed = used[index] & ~(safe[index] & targetUsed[index])
            prepared[index] = (current[index] & fixed) | (target[index] & ~fixed)
            if prepared[index] & targetUsed[index] != target[index] { critical.append(index) }
        }
        return (prepared, critical)
    }

    /// Whether no transaction could see a mix, or V = 0 of an entry that is in use.
    static func isHitless(from current: Entry, to target: Entry) -> Bool {
        plan(from: current, to: target).critical.count <= 1
    }

    /// - Parameter current: what the entry in memory holds; what it holds then is `target`.
    func write(_ target: Entry, over current: inout Entry) {
        var (prepared, critical) = Self.plan(from: current, to: target)
        switch critical.count {
        case 0:
            set(target, words: 0..<8, over: &current)
        case 1:
            // The critical word waits for its own store, which takes its unused bits along.
            prepared[critical[0]] = current[critical[0]]
            set(prepared, words: 0..<8, over: &current)
            set(target, words: critical[0]..<critical[0] + 1, over: &current)
            set(target, words: 0..<8, over: &current)
        default:
            var invalid = current
            invalid[0] = 0
            set(invalid, words: 0..<1, over: &current)
            set(target, words: 1..<8, over: &current)
            set(target, words: 0..<1, over: &current)
        }
    }

    private func set(_ value: Entry, words: Range<Int>, over current: inout Entry) {
        var changed = false
        for index in words where current[index] != value[index] {
            medium.store(value[index], at: address + UInt64(index * 8))
            current[index] = value[index]
            changed = true
        }
        if changed { medium.synchronize(scope) }
    }
}
