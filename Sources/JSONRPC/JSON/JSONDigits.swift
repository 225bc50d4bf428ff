/// Integers as text, straight into a buffer with room for 20 more bytes.
enum JSONDigits {
    @inline(__always)
    static func decimal(_ value: UInt64, _ out: inout ByteBuffer) {
        var digits = 1
        var bound: UInt64 = 10
        while digits < 20, value >= bound {
            digits &+= 1
            bound = digits == 20 ? .max : bound &* 10
        }
        var rest = value
        let start = out.end
        var index = digits
        while index > 0 {
            index &-= 1
            start[index] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        out.count &+= digits
    }

    /// At most 20 bytes; eight more are written.
    @inline(__always)
    static func quotedHexadecimal(_ value: UInt64, _ out: inout ByteBuffer) {
        let digits = max(1, (64 &- value.leadingZeroBitCount &+ 3) &>> 2)
        let start = UnsafeMutableRawPointer(out.end)
        start.storeBytes(of: UInt32(littleEndian: 0x0078_3022), as: UInt32.self)
        var next = 3
        if digits > 8 {
            start.storeBytes(of: hexadecimal(value &>> 32, digits &- 8), toByteOffset: next, as: UInt64.self)
            next &+= digits &- 8
        }
        let lower = min(digits, 8)
        start.storeBytes(of: hexadecimal(value & 0xffff_ffff, lower), toByteOffset: next, as: UInt64.self)
        next &+= lower
        start.storeBytes(of: UInt8(ascii: "\""), toByteOffset: next, as: UInt8.self)
        out.count &+= next &+ 1
    }

    /// The last `count` of the eight hexadecimal digits of `value`, the first one in the lowest byte.
    @inline(__always)
    private static func hexadecimal(_ value: UInt64, _ count: Int) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        // Each half of each part moves up, until every digit has a byte of its own.
        var digits = (value | value &<< 16) & 0x0000_ffff_0000_ffff
        digits = (digits | digits &<< 8) & 0x00ff_00ff_00ff_00ff
        digits = (digits | digits &<< 4) & 0x0f0f_0f0f_0f0f_0f0f
        let isLetter = (digits &+ ones &* 6) &>> 4 & ones
        let text = digits &+ ones &* 0x30 &+ isLetter &* 39
        return (text.byteSwapped &>> UInt64(truncatingIfNeeded: (8 &- count) &* 8)).littleEndian
    }
}
