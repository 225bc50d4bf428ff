import Glibc

/// The byte-level rules of JSON text: word-wise scanning, escapes, UTF-8.
enum JSONBytes {
    private static let lowBits: UInt64 = 0x0101_0101_0101_0101
    private static let highBits: UInt64 = 0x8080_8080_8080_8080

    /// Nonzero if one of the eight bytes there ends a run of plain string text: a quote, a backslash, a control
    /// character or a byte beyond ASCII. The lowest set bit lies in the first such byte (little-endian order).
    @inline(__always)
    static func special(at bytes: UnsafePointer<UInt8>) -> UInt64 {
        let word = word(bytes)
        let quote = word ^ (lowBits &* 0x22)
        let backslash = word ^ (lowBits &* 0x5c)
        let hits = (quote &- lowBits) & ~quote | (backslash &- lowBits) & ~backslash
        return (hits | word | (word &- lowBits &* 0x20) & ~word) & highBits
    }

    @inline(__always)
    static func isSpace(_ byte: UInt8) -> Bool {
        byte <= 0x20 && (byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09)
    }

    @inline(__always)
    static func matches(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
        memcmp(bytes, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    /// The eight bytes there, the first one lowest.
    @inline(__always)
    static func word(_ bytes: UnsafePointer<UInt8>) -> UInt64 {
        UInt64(littleEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self))
    }

    /// Number of decimal digits there; eight bytes beyond them must be readable.
    @inline(__always)
    static func digits(_ bytes: UnsafePointer<UInt8>) -> Int {
        var count = 0
        while true {
            // A digit leaves 0...9; adding 0x76 to anything above, or having the highest bit, sets the highest bit.
            let rest = word(bytes + count) ^ (lowBits &* 0x30)
            let others = ((rest &+ lowBits &* 0x76) | rest) & highBits
            guard others == 0 else { return count &+ others.trailingZeroBitCount &>> 3 }
            count &+= 8
        }
    }

    /// The first `length` bytes, at most 8, as a word to compare; 8 bytes must be readable.
    @inline(__always)
    static func prefix(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
        let word = word(bytes)
        return length >= 8 ? word : word & (1 &<< UInt64(truncatingIfNeeded: length &* 8) &- 1)
    }

    static func literal(_ bytes: UnsafePointer<UInt8>) -> (JSONNode.Kind, Int)? {
        if matches(bytes, "true") { return (.true, 4) }
        if matches(bytes, "false") { return (.false, 5) }
        return matches(bytes, "null") ? (.null, 4) : nil
    }

    /// The end of the string that `start` is inside of: its quote, or the place of the problem.
    static func endOfString(
        _ text: UnsafePointer<UInt8>, _ start: Int
    ) -> (cursor: Int, isEscaped: Bool, problem: JSONSyntaxError.Problem?) {
        var cursor = start
        var isEscaped = false
        while true {
            let special = special(at: text + cursor)
            guard special != 0 else {
                cursor &+= 8
                continue
            }
            cursor &+= special.trailingZeroBitCount &>> 3
            let byte = text[cursor]
            if byte == UInt8(ascii: "\"") { return (cursor, isEscaped, nil) }
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                if let problem = stepOverEscape(text, &cursor) { return (cursor, true, problem) }
                continue
            }
            if byte < 0x20 { return (cursor, isEscaped, .controlCharacter) }
            let length = utf8Length(text + cursor)
            guard length > 0 else { return (cursor, isEscaped, .invalidUTF8) }
            cursor &+= length
        }
    }

    /// Length of the well-formed UTF-8 sequence at `bytes` (Unicode table 3-7), 0 if there is none.
    static func utf8Length(_ bytes: UnsafePointer<UInt8>) -> Int {
        func isTail(_ index: Int) -> Bool { bytes[index] & 0xc0 == 0x80 }
        switch bytes[0] {
        case 0x00...0x7f: return 1
        case 0xc2...0xdf: return isTail(1) ? 2 : 0
        case 0xe0: return (0xa0...0xbf).contains(bytes[1]) && isTail(2) ? 3 : 0
        case 0xed: return (0x80...0x9f).contains(bytes[1]) && isTail(2) ? 3 : 0
        case 0xe1...0xef: return isTail(1) && isTail(2) ? 3 : 0
        case 0xf0: return (0x90...0xbf).contains(bytes[1]) && isTail(2) && isTail(3) ? 4 : 0
        case 0xf1...0xf3: return isTail(1) && isTail(2) && isTail(3) ? 4 : 0
        case 0xf4: return (0x80...0x8f).contains(bytes[1]) && isTail(2) && isTail(3) ? 4 : 0
        default: return 0
        }
    }

    @inline(__always)
    static func hexDigit(_ byte: UInt8) -> UInt8? {
        let digit = byte &- UInt8(ascii: "0")
        if digit <= 9 { return digit }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter <= 5 ? letter &+ 10 : nil
    }

    /// The UTF-16 unit of the four hexadecimal digits at `digits`.
    static func unit(_ digits: UnsafePointer<UInt8>) -> UInt32? {
        var unit: UInt32 = 0
        for index in 0..<4 {
            guard let digit = hexDigit(digits[index]) else { return nil }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Steps over the escape (a whole surrogate pair) at `cursor`; returns what is wrong with it, if anything.
    static func stepOverEscape(_ text: UnsafePointer<UInt8>, _ cursor: inout Int) -> JSONSyntaxError.Problem? {
        switch text[cursor &+ 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            cursor &+= 2
            return nil
        case UInt8(ascii: "u"):
            guard let first = unit(text + (cursor &+ 2)) else { return .badEscape }
            guard first & 0xf800 == 0xd800 else {
                cursor &+= 6
                return nil
            }
            guard first < 0xdc00, text[cursor &+ 6] == UInt8(ascii: "\\"), text[cursor &+ 7] == UInt8(ascii: "u"),
                let second = unit(text + (cursor &+ 8)), second & 0xfc00 == 0xdc00
            else { return .loneSurrogate }
            cursor &+= 12
            return nil
        default:
            return .badEscape
        }
    }

    /// Unescapes checked string text in place; returns the new, never larger, length.
    static func unescape(_ bytes: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
        var from = 0
        var to = 0
        while from < length {
            guard bytes[from] == UInt8(ascii: "\\") else {
                bytes[to] = bytes[from]
                from &+= 1
                to &+= 1
                continue
            }
            let code = bytes[from &+ 1]
            if code == UInt8(ascii: "u") {
                encode(scalar(bytes, &from), bytes, &to)
            } else {
                bytes[to] = plain(code)
                from &+= 2
                to &+= 1
            }
        }
        return to
    }

    private static func plain(_ code: UInt8) -> UInt8 {
        switch code {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0c
        case UInt8(ascii: "n"): 0x0a
        case UInt8(ascii: "r"): 0x0d
        case UInt8(ascii: "t"): 0x09
        default: code
        }
    }

    /// The character of the checked `\u` escape (or pair) at `from`.
    private static func scalar(_ bytes: UnsafePointer<UInt8>, _ from: inout Int) -> UInt32 {
        let first = unit(bytes + (from &+ 2)) ?? 0xfffd
        from &+= 6
        guard first & 0xfc00 == 0xd800 else { return first }
        let second = unit(bytes + (from &+ 2)) ?? 0xdc00
        from &+= 6
        return 0x10000 &+ (first & 0x3ff) << 10 &+ second & 0x3ff
    }

    private static func encode(_ scalar: UInt32, _ bytes: UnsafeMutablePointer<UInt8>, _ to: inout Int) {
        func put(_ value: UInt32) {
            bytes[to] = UInt8(truncatingIfNeeded: value)
            to &+= 1
        }
        switch scalar {
        case 0..<0x80:
            put(scalar)
        case 0x80..<0x800:
            put(0xc0 | scalar >> 6)
            put(0x80 | scalar & 0x3f)
        case 0x800..<0x10000:
            put(0xe0 | scalar >> 12)
            put(0x80 | scalar >> 6 & 0x3f)
            put(0x80 | scalar & 0x3f)
        default:
            put(0xf0 | scalar >> 18)
            put(0x80 | scalar >> 12 & 0x3f)
            put(0x80 | scalar >> 6 & 0x3f)
            put(0x80 | scalar & 0x3f)
        }
    }
}
