/// Which leaves of stage 1 lie in the TLB in pieces, as bits at hashes: a command that names none of them need not look
/// at every entry. It may say yes of others, never no of one that was inserted.
struct SplitLeaves {
    /// Bit n: leaves of 2^n bytes are among them.
    private var sizes: UInt64 = 0
    private var bits = SIMD4<UInt64>()
    /// A command that reaches more leaves is not worth asking.
    private static var limit: UInt64 { 32 }

    mutating func insert(tag: UInt64, address: UInt64, bits size: UInt64) {
        sizes |= 1 << size
        let hash = Self.hash(tag: tag, leaf: address >> size)
        bits[Int(hash >> 6)] |= 1 << (hash & 63)
    }

    /// Whether a leaf of a tag that touches `address`...`last` may lie there in pieces.
    @inline(__always)
    func mayHold(tag: UInt64, _ address: UInt64, _ last: UInt64) -> Bool {
        sizes != 0 && search(tag: tag, address, last)
    }

    private func search(tag: UInt64, _ address: UInt64, _ last: UInt64) -> Bool {
        var remaining = sizes
        while remaining != 0 {
            let size = UInt64(remaining.trailingZeroBitCount)
            remaining &= remaining &- 1
            let (first, end) = (address >> size, last >> size)
            if end &- first >= Self.limit || (first...max(first, end)).contains(where: { holds(tag: tag, leaf: $0) }) {
                return true
            }
        }
        return false
    }

    private func holds(tag: UInt64, leaf: UInt64) -> Bool {
        let hash = Self.hash(tag: tag, leaf: leaf)
        return bits[Int(hash >> 6)] >> (hash & 63) & 1 != 0
    }

    private static func hash(tag: UInt64, leaf: UInt64) -> UInt64 {
        ((leaf &+ tag &+ (tag >> 9)) &* 0x9e37_79b9_7f4a_7c15) >> 56
    }
}
