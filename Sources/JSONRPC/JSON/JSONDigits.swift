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

    @inline(__always)
    static func quotedHexadecimal(_ value: UInt64, _ out: inout ByteBuffer) {
        let digits = max(1, (64 &- value.leadingZeroBitCount &+ 3) &>> 2)
        let start = out.end
        start[0] = UInt8(ascii: "\"")
        start[1] = UInt8(ascii: "0")
        start[2] = UInt8(ascii: "x")
        var rest = value
        var index = digits
        while index > 0 {
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            start[2 &+ index] = digit &+ (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") &- 10)
            rest &>>= 4
            index &-= 1
        }
        start[3 &+ digits] = UInt8(ascii: "\"")
        out.count &+= digits &+ 4
    }
}
