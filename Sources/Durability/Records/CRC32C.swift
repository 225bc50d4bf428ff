/// The Castagnoli checksum (polynomial 0x1edc6f41, reflected), eight bytes at a time.
enum CRC32C {
    /// For each of eight places, what a byte there does to the sum.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var sum = UInt32(byte)
            for _ in 0..<8 { sum = sum >> 1 ^ (sum & 1 == 1 ? 0x82f6_3b78 : 0) }
            tables[byte] = sum
        }
        for place in 1..<8 {
            for byte in 0..<256 {
                let before = tables[(place - 1) * 256 + byte]
                tables[place * 256 + byte] = before >> 8 ^ tables[Int(before & 0xff)]
            }
        }
        return tables
    }()

    /// The sum of some bytes.
    static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        tables.withUnsafeBufferPointer { tables in
            var sum = UInt32.max
            var index = 0
            while index &+ 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian ^ UInt64(sum)
                sum = 0
                for place in 0..<8 {
                    sum ^= tables[(7 &- place) &* 256 &+ Int(truncatingIfNeeded: word >> UInt64(place &* 8) & 0xff)]
                }
                index &+= 8
            }
            while index < bytes.count {
                sum = sum >> 8 ^ tables[Int((sum ^ UInt32(bytes[index])) & 0xff)]
                index &+= 1
            }
            return ~sum
        }
    }
}
