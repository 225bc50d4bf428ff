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
