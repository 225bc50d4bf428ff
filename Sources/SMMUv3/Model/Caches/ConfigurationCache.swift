/// A set-associative cache from a 64-bit key, for STEs and CDs.
struct ConfigurationCache<Value> {
    private static var ways: Int { 4 }
    private static var empty: UInt64 { .max }

    private var keys: [UInt64]
    private var values: [Value]
    private let filler: Value
    private let grows: Bool
    private var victim = 0
    private(set) var count = 0
    private(set) var statistics = CacheStatistics()

    /// - Parameters:
    ///   - capacity: entries, nil to grow and never evict.
    ///   - filler: what an empty entry holds.
    init(capacity: Int?, filler: Value) {
        let size = Self.powerOfTwo(max(capacity ?? 64, Self.ways))
        keys = [UInt64](repeating: Self.empty, count: size)
        values = [Value](repeating: filler, count: size)
        self.filler = filler
        grows = capacity == nil
    }

    /// The cached value, counted as hit or miss.
    mutating func find(_ key: UInt64) -> Value? {
        let value = peek(key)
        if value == nil {
            statistics.misses &+= 1
        } else {
            statistics.hits &+= 1
        }
        return value
    }

    /// The cached value without counting.
    func peek(_ key: UInt64) -> Value? {
        let set = setStart(key)
        for way in set..<set + Self.ways where keys[way] == key {
            return values[way]
        }
        return nil
    }

    /// Caches a value, in place of another if the set is full.
    mutating func insert(_ key: UInt64, _ value: Value) {
        while true {
            let set = setStart(key)
            for way in set..<set + Self.ways where keys[way] == Self.empty || keys[way] == key {
                count += keys[way] == key ? 0 : 1
                (keys[way], values[way]) = (key, value)
                return
            }
            guard grows, keys.count < 1 << 22 else {
                victim = (victim + 1) % Self.ways
                (keys[set + victim], values[set + victim]) = (key, value)
                statistics.evictions &+= 1
                return
            }
            grow()
        }
    }

    /// Forgets every entry whose key matches.
    mutating func remove(where matches: (UInt64) -> Bool) {
        guard count > 0 else {
            return
        }
        for index in keys.indices where keys[index] != Self.empty && matches(keys[index]) {
            keys[index] = Self.empty
            count -= 1
            statistics.invalidations &+= 1
        }
    }

    /// Every cached key and value.
    var entries: [(key: UInt64, value: Value)] {
        keys.indices.filter { keys[$0] != Self.empty }.map { (keys[$0], values[$0]) }
    }

    private mutating func grow() {
        let old = entries
        keys = [UInt64](repeating: Self.empty, count: keys.count * 2)
        values = [Value](repeating: filler, count: keys.count)
        count = 0
        for entry in old {
            insert(entry.key, entry.value)
        }
    }

    private func setStart(_ key: UInt64) -> Int {
        let hash = (key &* 0x9e37_79b9_7f4a_7c15) >> 32
        return Int(truncatingIfNeeded: hash) & (keys.count / Self.ways - 1) * Self.ways
    }

    private static func powerOfTwo(_ value: Int) -> Int {
        var result = 1
        while result < value && result < 1 << 22 {
            result *= 2
        }
        return result
    }
}

/// How often a cache answered.
public struct CacheStatistics: Equatable, Sendable {
    /// Look-ups that found an entry.
    public internal(set) var hits: UInt64 = 0
    /// Look-ups that found none.
    public internal(set) var misses: UInt64 = 0
    /// Entries that made room for others.
    public internal(set) var evictions: UInt64 = 0
    /// Entries that a command removed one by one.
    public internal(set) var invalidations: UInt64 = 0
}
