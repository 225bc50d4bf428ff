@testable import EmulatedIOMMU

extension PageTable {
    /// Whether every table's count is what it holds, and few are empty.
    func audit() -> String? {
        var empty = 0
        if let text = audit(root, level: format.startLevel, &empty) { return text }
        return empty <= EmptyTables.capacity ? nil : "\(empty) tables are empty"
    }

    /// What is mapped, leaf by leaf: address and descriptor.
    var leaves: [[UInt64]] {
        var found: [[UInt64]] = []
        collect(root, level: format.startLevel, at: 0, into: &found)
        return found
    }

    private func collect(_ table: UInt64, level: Int, at start: UInt64, into found: inout [[UInt64]]) {
        let words = UnsafeBufferPointer(start: memory.pointer(table), count: Int(entries(level: level)))
        for (index, descriptor) in words.enumerated() where descriptor != 0 {
            let address = start + UInt64(index) << UInt64(format.shift(level))
            if isTable(descriptor, level: level) {
                collect(self.address(in: descriptor, level: level), level: level + 1, at: address, into: &found)
            } else {
                found.append([address, descriptor])
            }
        }
    }

    private func audit(_ table: UInt64, level: Int, _ empty: inout Int) -> String? {
        var live = 0
        for index in 0..<Int(entries(level: level)) {
            let descriptor = memory.load(table + UInt64(index * 8))
            guard descriptor != 0 else { continue }
            live += 1
            if descriptor & 1 == 0 { return "level \(level) entry \(index): \(String(descriptor, radix: 16))" }
            if isTable(descriptor, level: level),
                let problem = audit(address(in: descriptor, level: level), level: level + 1, &empty)
            {
                return problem
            }
        }
        guard table != root else { return nil }
        let count = Int(memory.count(of: table).pointee)
        if live == 0 { empty += 1 }
        guard count != live else { return nil }
        return "level \(level) table \(String(table, radix: 16)): \(live) live, counted \(count)"
    }
}
