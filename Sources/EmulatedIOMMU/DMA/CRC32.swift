/// The CRC-32 of IEEE 802.3, bit-reflected, with the conventions of zlib's `crc32()`.
package struct CRC32: Sendable {
    /// The checksum of everything so far; 0 of nothing.
    package private(set) var value: UInt32

    /// - Parameter value: the checksum to go on from.
    package init(_ value: UInt32 = 0) { self.value = value }

    /// Eight tables of 256: table `t` advances a byte by `t` further bytes.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var crc = UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 0 ? 0 : 0xedb8_8320) }
            tables[byte] = crc
        }
        for index in 256..<tables.count {
            let previous = tables[index - 256]
            tables[index] = previous >> 8 ^ tables[Int(previous & 0xff)]
        }
        return tables
    }()

    /// Adds bytes, eight at a time.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var crc = ~value
        Self.tables.withUnsafeBufferPointer { tables in
            var index = 0
            while index &+ 8 <= bytes.count {
                let next = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                let word = UInt64(littleEndian: next) ^ UInt64(crc)
                crc =
                    tables[0x700 &+ Int(word & 0xff)] ^ tables[0x600 &+ Int(word >> 8 & 0xff)]
                    ^ tables[0x500 &+ Int(word >> 16 & 0xff)] ^ tables[0x400 &+ Int(word >> 24 & 0xff)]
                    ^ tables[0x300 &+ Int(word >> 32 & 0xff)] ^ tables[0x200 &+ Int(word >> 40 & 0xff)]
                    ^ tables[0x100 &+ Int(word >> 48 & 0xff)] ^ tables[Int(word >> 56)]
                index &+= 8
            }
            while index < bytes.count {
                crc = crc >> 8 ^ tables[Int((crc ^ UInt32(bytes[index])) & 0xff)]
                index &+= 1
            }
        }
        value = ~crc
    }
}
