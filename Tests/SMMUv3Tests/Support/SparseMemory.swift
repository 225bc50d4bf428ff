import SMMUv3

/// Physical memory of a test: zero-filled ranges, everything else aborts.
final class SparseMemory: PhysicalMemory {
    private var words: [UInt64: UInt64] = [:]
    private let ranges: [Range<UInt64>]
    /// Called before every exchange with its address; for tests that change memory under a walk.
    var willExchange: ((UInt64) -> Void)?
    private(set) var loads: [UInt64] = []
    var countsLoads = false

    init(_ ranges: [Range<UInt64>]) {
        self.ranges = ranges
    }

    convenience init(base: UInt64 = 0, size: UInt64 = 1 << 32) {
        self.init([base..<base + size])
    }

    func contains(_ address: UInt64) -> Bool {
        ranges.contains { $0.contains(address) }
    }

    func load64(_ address: UInt64) -> UInt64? {
        precondition(address % 8 == 0, "misaligned load at \(address)")
        if countsLoads {
            loads.append(address)
        }
        return contains(address) ? words[address] ?? 0 : nil
    }

    func store64(_ address: UInt64, _ value: UInt64) -> Bool {
        precondition(address % 8 == 0, "misaligned store at \(address)")
        guard contains(address) else {
            return false
        }
        words[address] = value
        return true
    }

    func store32(_ address: UInt64, _ value: UInt32) -> Bool {
        guard contains(address) else {
            return false
        }
        let old = words[address & ~7] ?? 0
        let shift = (address & 4) * 8
        words[address & ~7] = old & ~(0xffff_ffff << shift) | UInt64(value) << shift
        return true
    }

    func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        willExchange?(address)
        guard contains(address) else {
            return nil
        }
        guard words[address] ?? 0 == expected else {
            return false
        }
        words[address] = desired
        return true
    }

    subscript(address: UInt64) -> UInt64 {
        get { words[address] ?? 0 }
        set { words[address] = newValue }
    }

    func forgetLoads() {
        loads = []
    }

    /// Stores little-endian bytes; both ends are multiples of 8.
    func store(hex: String, at address: UInt64) {
        let digits = Array(hex.utf8)
        func nibble(_ character: UInt8) -> UInt64 {
            UInt64(character < 58 ? character - 48 : character - 87)
        }
        for index in 0..<digits.count / 2 {
            let byte = nibble(digits[2 * index]) << 4 | nibble(digits[2 * index + 1])
            let target = address + UInt64(index)
            let shift = (target & 7) * 8
            words[target & ~7] = (words[target & ~7] ?? 0) & ~(0xff << shift) | byte << shift
        }
    }
}
