import SMMUv3

/// One dense range from address 0 that counts what is done to it.
final class FuzzMemory: PhysicalMemory {
    private var words: [UInt64]
    private(set) var loads = 0
    private(set) var stores = 0

    init(bytes: Int) {
        words = [UInt64](repeating: 0, count: bytes / 8)
    }

    func load64(_ address: UInt64) -> UInt64? {
        loads += 1
        precondition(address % 8 == 0)
        return address / 8 < UInt64(words.count) ? words[Int(address / 8)] : nil
    }

    func store64(_ address: UInt64, _ value: UInt64) -> Bool {
        stores += 1
        precondition(address % 8 == 0)
        guard address / 8 < UInt64(words.count) else {
            return false
        }
        words[Int(address / 8)] = value
        return true
    }

    func store32(_ address: UInt64, _ value: UInt32) -> Bool {
        stores += 1
        precondition(address % 4 == 0)
        return address / 8 < UInt64(words.count)
    }

    func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        guard address / 8 < UInt64(words.count) else {
            return nil
        }
        guard words[Int(address / 8)] == expected else {
            return false
        }
        return store64(address, desired)
    }

    subscript(address: UInt64) -> UInt64 {
        get { words[Int(address / 8)] }
        set { words[Int(address / 8)] = newValue }
    }
}
