/// Bytes as the text that stands for them in JSON (RFC 4648, section 4, with padding).
public enum Base64Text {
    /// The text of bytes.
    public static func encode(_ bytes: [UInt8]) -> String {
        var buffer = ByteBuffer(capacity: (bytes.count + 2) / 3 * 4)
        defer { buffer.deallocate() }
        bytes.withUnsafeBytes { Base64.append($0, to: &buffer) }
        return String(decoding: UnsafeBufferPointer(start: buffer.base, count: buffer.count), as: UTF8.self)
    }

    /// The bytes of a text; nil if it is not base64.
    public static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { utf8 in
            guard let start = utf8.baseAddress else { return [] }
            guard let count = Base64.decodedLength(start, utf8.count) else { return nil }
            return [UInt8](unsafeUninitializedCapacity: count) { bytes, initialized in
                if let target = bytes.baseAddress { Base64.decode(start, utf8.count, into: target) }
                initialized = count
            }
        }
    }
}
