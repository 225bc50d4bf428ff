/// What a number or `"0x…"` string amounts to as an integer.
enum JSONInteger: Equatable {
    case unsigned(UInt64)
    case negative(Int64)
    case tooLarge
    /// Not a hexadecimal number of the form `0x` and one or more digits.
    case malformed

    /// The value of checked integer text: an optional minus sign and digits.
    @inline(__always)
    static func decimal(_ text: UnsafePointer<UInt8>, _ length: Int) -> JSONInteger {
        guard text[0] != UInt8(ascii: "-") else { return negative(text + 1, length &- 1) }
        guard let value = magnitude(text, length) else { return .tooLarge }
        return .unsigned(value)
    }

    private static func negative(_ digits: UnsafePointer<UInt8>, _ length: Int) -> JSONInteger {
        guard let value = magnitude(digits, length), value <= UInt64(Int64.max) &+ 1 else { return .tooLarge }
        return value == 0 ? .unsigned(0) : .negative(Int64(truncatingIfNeeded: 0 &- value))
    }

    @inline(__always)
    private static func magnitude(_ digits: UnsafePointer<UInt8>, _ length: Int) -> UInt64? {
        var value: UInt64 = 0
        if length < 20 {
            for index in 0..<length { value = value &* 10 &+ UInt64(digits[index] &- UInt8(ascii: "0")) }
            return value
        }
        for index in 0..<length {
            let (scaled, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = scaled.addingReportingOverflow(UInt64(digits[index] &- UInt8(ascii: "0")))
            if overflowed || carried { return nil }
            value = sum
        }
        return value
    }

    /// The value of `0x…` text. Either case of digits; leading zeros do not count towards the 64 bits.
    @inline(__always)
    static func hexadecimal(_ text: UnsafePointer<UInt8>, _ length: Int) -> JSONInteger {
        guard length > 2, text[0] == UInt8(ascii: "0"), text[1] == UInt8(ascii: "x") else { return .malformed }
        var value: UInt64 = 0
        var overflowed = false
        for index in 2..<length {
            guard let digit = JSONBytes.hexDigit(text[index]) else { return .malformed }
            overflowed = overflowed || value >> 60 != 0
            value = value << 4 | UInt64(digit)
        }
        return overflowed ? .tooLarge : .unsigned(value)
    }
}
