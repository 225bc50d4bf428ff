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
        if length <= 16 { return upTo16(digits, length) }
        var value: UInt64 = 0
        for index in 0..<length {
            let (scaled, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = scaled.addingReportingOverflow(UInt64(digits[index] &- UInt8(ascii: "0")))
            if overflowed || carried { return nil }
            value = sum
        }
        return value
    }

    @inline(__always)
    private static func upTo16(_ digits: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        guard count > 8 else { return upTo8(digits, count) }
        return upTo8(digits, count &- 8) &* 100_000_000 &+ upTo8(digits + (count &- 8), 8)
    }

    /// The value of one to eight decimal digits; eight bytes must be readable.
    @inline(__always)
    private static func upTo8(_ digits: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        // Zeros before the first digit, which is in the lowest byte; then neighbours are joined, three times.
        let text = JSONBytes.word(digits) &<< UInt64(truncatingIfNeeded: (8 &- count) &* 8)
        let pairs = ((text & 0x0f0f_0f0f_0f0f_0f0f) &* (10 &<< 8 | 1)) &>> 8
        let fours = ((pairs & 0x00ff_00ff_00ff_00ff) &* (100 &<< 16 | 1)) &>> 16
        return ((fours & 0x0000_ffff_0000_ffff) &* (10_000 &<< 32 | 1)) &>> 32
    }

    /// The value of what is known to be one to sixteen digits, of either kind; eight bytes must be readable.
    @inline(__always)
    static func known(_ digits: UnsafePointer<UInt8>, _ count: Int, isHexadecimal: Bool) -> UInt64 {
        guard isHexadecimal else { return upTo16(digits, count) }
        guard count > 8 else { return joined(eight(digits, count)) }
        return joined(eight(digits, count &- 8)) &<< 32 | joined(eight(digits + (count &- 8), 8))
    }

    /// The value of `0x…` text. Either case of digits; leading zeros do not count towards the 64 bits.
    @inline(__always)
    static func hexadecimal(_ text: UnsafePointer<UInt8>, _ length: Int) -> JSONInteger {
        guard length > 2, text[0] == UInt8(ascii: "0"), text[1] == UInt8(ascii: "x") else { return .malformed }
        guard length > 18 else { return hexadecimal(upTo16: text + 2, length &- 2) }
        return longHexadecimal(text, length)
    }

    /// Eight digits at a time; the texts that are longer than 64 bits need are rare.
    @inline(__always)
    private static func hexadecimal(upTo16 digits: UnsafePointer<UInt8>, _ count: Int) -> JSONInteger {
        guard count > 8 else {
            return eightDigits(digits, count).map { .unsigned($0) } ?? .malformed
        }
        guard let high = eightDigits(digits, count &- 8), let low = eightDigits(digits + (count &- 8), 8) else {
            return .malformed
        }
        return .unsigned(high &<< 32 | low)
    }

    /// The value of one to eight digits, or `nil`; eight bytes must be readable.
    @inline(__always)
    private static func eightDigits(_ digits: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
        let text = eight(digits, count)
        // The high bit of a byte says whether it is below or above a bound; lower case makes letters one range.
        let lower = text | ones &* 0x20
        let isDigit = (text &+ ones &* 0x50) & ~(text &+ ones &* 0x46)
        let isLetter = (lower &+ ones &* 0x1f) & ~(lower &+ ones &* 0x19)
        guard (isDigit | isLetter) & ~text & (ones &* 0x80) == ones &* 0x80 else { return nil }
        return joined(text)
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101

    /// One to eight digits, the first one in the highest byte, with zeros before it; eight bytes must be readable.
    @inline(__always)
    private static func eight(_ digits: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        let unused = UInt64(truncatingIfNeeded: 8 &- count) &* 8
        let raw = UInt64(bigEndian: UnsafeRawPointer(digits).loadUnaligned(as: UInt64.self))
        return count == 8 ? raw : raw &>> unused | (ones &* 0x30) &<< (64 &- unused)
    }

    /// The value of eight hexadecimal digits.
    @inline(__always)
    private static func joined(_ text: UInt64) -> UInt64 {
        var value = (text & (ones &* 0x0f)) &+ (text &>> 6 & ones) &* 9
        value = (value | value &>> 4) & 0x00ff_00ff_00ff_00ff
        value = (value | value &>> 8) & 0x0000_ffff_0000_ffff
        return (value | value &>> 16) & 0xffff_ffff
    }

    private static func longHexadecimal(_ text: UnsafePointer<UInt8>, _ length: Int) -> JSONInteger {
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
