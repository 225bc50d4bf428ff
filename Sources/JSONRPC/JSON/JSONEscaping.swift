/// Text as the inside of a JSON string: quotes, backslashes and control characters escaped, anything else as it is.
enum JSONEscaping {
    static func append(_ bytes: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        var run = 0
        for index in 0..<bytes.count where needsEscape(base[index]) {
            out.append(base + run, index - run)
            escape(base[index], &out)
            run = index + 1
        }
        out.append(base + run, bytes.count - run)
    }

    @inline(__always)
    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private static func escape(_ byte: UInt8, _ out: inout ByteBuffer) {
        switch byte {
        case UInt8(ascii: "\""): out.append("\\\"")
        case UInt8(ascii: "\\"): out.append("\\\\")
        case 0x08: out.append("\\b")
        case 0x0c: out.append("\\f")
        case 0x0a: out.append("\\n")
        case 0x0d: out.append("\\r")
        case 0x09: out.append("\\t")
        default:
            out.append("\\u00")
            out.append(byte < 0x10 ? UInt8(ascii: "0") : UInt8(ascii: "1"))
            let low = byte & 15
            out.append(low &+ (low < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") &- 10))
        }
    }
}
