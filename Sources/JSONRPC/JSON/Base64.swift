/// Base64 with the standard alphabet and mandatory padding (RFC 4648, section 4).
enum Base64 {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    private static let padding = UInt8(ascii: "=")

    static func append(_ bytes: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
        out.reserve((bytes.count + 2) / 3 * 4)
        let letters = alphabet.utf8Start
        var target = out.end
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let group =
                UInt32(bytes[index]) << 16
                | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                | (left > 2 ? UInt32(bytes[index + 2]) : 0)
            target[0] = letters[Int(group >> 18)]
            target[1] = letters[Int(group >> 12 & 63)]
            target[2] = left > 1 ? letters[Int(group >> 6 & 63)] : padding
            target[3] = left > 2 ? letters[Int(group & 63)] : padding
            target += 4
            index += 3
        }
        out.count += (bytes.count + 2) / 3 * 4
    }

    @inline(__always)
    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte &- UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte &- UInt8(ascii: "a")) &+ 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte &- UInt8(ascii: "0")) &+ 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    /// Bytes that `length` characters of text stand for, or `nil` if the text is not base64.
    static func decodedLength(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int? {
        guard length & 3 == 0 else { return nil }
        guard length > 0 else { return 0 }
        let pads = text[length - 1] != padding ? 0 : text[length - 2] != padding ? 1 : 2
        for index in 0..<length - pads where digit(text[index]) == nil { return nil }
        // The bits that the padding leaves unused must be zero, so that every byte string has one spelling.
        let unused: UInt32 = pads == 2 ? 15 : pads == 1 ? 3 : 0
        guard (digit(text[length - pads - 1]) ?? 0) & unused == 0 else { return nil }
        return length / 4 * 3 - pads
    }

    /// Decodes checked text into memory with room for its decoded length.
    static func decode(_ text: UnsafePointer<UInt8>, _ length: Int, into target: UnsafeMutableRawPointer) {
        var written = 0
        var index = 0
        while index < length {
            var group: UInt32 = 0
            for position in 0..<4 { group = group << 6 | (digit(text[index + position]) ?? 0) }
            let bytes = text[index + 3] != padding ? 3 : text[index + 2] != padding ? 2 : 1
            for byte in 0..<bytes {
                let value = UInt8(truncatingIfNeeded: group >> UInt32(16 - 8 * byte))
                target.storeBytes(of: value, toByteOffset: written, as: UInt8.self)
                written += 1
            }
            index += 4
        }
    }
}
