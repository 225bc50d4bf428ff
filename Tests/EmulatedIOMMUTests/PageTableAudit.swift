@testable import EmulatedIOMMU

extension PageTable {
    /// Whether every table's count is what it holds, and none is empty.
    func audit() -> String? { audit(root, level: format.startLevel) }

    /// What is mapped, leaf by leaf: address and descriptor.
    var leaves: [[UInt64]] { leaves(root, level: format.startLevel, at: 0) }

    private func leaves(_ table: UInt64, level: Int, at start: UInt64) -> [[UInt64]] {
        (0..<entries(level: level)).flatMap { index -> [[UInt64]] in
            let descriptor = memory.load(table + index * 8)
            let address = start + index << UInt64(format.shift(level))
            guard isTable(descriptor, level: level) else { return descriptor == 0 ? [] : [[address, descriptor]] }
            return leaves(self.address(in: descriptor, level: level), level: level + 1, at: address)
        }
    }

    private func audit(_ table: UInt64, level: Int) -> String? {
        var live = 0
        for index in 0..<Int(entries(level: level)) {
            let descriptor = memory.load(table + UInt64(index * 8))
            guard descriptor != 0 else { continue }
            live += 1
            if descriptor & 1 == 0 { return "level \(level) entry \(index): \(String(descriptor, radix: 16))" }
            if isTable(descriptor, level: level),
                let problem = audit(address(in: descriptor, level: level), level: level + 1)
            {
                return problem
            }
        }
        guard table != root else { return nil }
        let count = Int(memory.count(of: table).pointee)
        guard count != live || live == 0 else { return nil }
        return "level \(level) table \(String(table, radix: 16)): \(live) live, counted \(count)"
    }
}
