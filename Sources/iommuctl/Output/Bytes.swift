/// Base64, RFC 4648 section 4, with padding.
enum Base64Text {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let word = group.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - group.count))
            for position in 0..<4 {
                let index = Int(word >> UInt32(18 - 6 * position)) & 63
                text.append(position <= group.count ? alphabet[index] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of a text; nil if it is not base64.
    static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8.prefix { $0 != UInt8(ascii: "=") })
        guard text.utf8.count.isMultiple(of: 4), text.utf8.count - digits.count <= 2 else { return nil }
        guard text.utf8.dropFirst(digits.count).allSatisfy({ $0 == UInt8(ascii: "=") }) else { return nil }
        var bytes: [UInt8] = []
        var word: UInt32 = 0
        var bits = 0
        for digit in digits {
            guard let value = alphabet.firstIndex(of: digit) else { return nil }
            word = word << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
            }
        }
        return bytes
    }
}

/// Bytes for people: offset, sixteen bytes, the same as text.
enum HexDump {
    static func text(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            let row = bytes[start..<min(start + 16, bytes.count)]
            let hex = row.map { padded(String($0, radix: 16), 2, "0") }.joined(separator: " ")
            let text = row.map { (0x20...0x7e).contains($0) ? String(UnicodeScalar($0)) : "." }.joined()
            let offset = padded(String(start, radix: 16), 4, "0")
            return "\(offset)  \(hex)\(String(repeating: " ", count: 3 * (16 - row.count)))  \(text)\n"
        }.joined()
    }

    /// The bytes that pairs of hexadecimal digits stand for; blanks between them say nothing.
    static func bytes(_ text: some StringProtocol) -> [UInt8]? {
        let digits = text.filter { $0 != " " }.map(\.hexDigitValue)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        for position in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digits[position], let low = digits[position + 1] else { return nil }
            bytes.append(UInt8(high << 4 | low))
        }
        return bytes
    }

    private static func padded(_ text: String, _ width: Int, _ filler: String) -> String {
        String(repeating: filler, count: max(0, width - text.count)) + text
    }
}
