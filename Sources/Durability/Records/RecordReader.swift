/// Reads what a record says. What is not there, or more than there can be, is refused; it never reads beyond its end.
struct RecordReader {
    /// What it says cannot be.
    struct Nonsense: Error {}

    private let bytes: UnsafeRawBufferPointer
    private var next = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Bytes left.
    var left: Int { bytes.count - next }

    mutating func byte() throws(Nonsense) -> UInt8 {
        guard next < bytes.count else { throw Nonsense() }
        defer { next += 1 }
        return bytes[next]
    }

    mutating func number() throws(Nonsense) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            let byte = try byte()
            guard shift < 63 || byte <= 1 else { throw Nonsense() }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        throw Nonsense()
    }

    mutating func word() throws(Nonsense) -> UInt32 {
        guard let value = UInt32(exactly: try number()) else { throw Nonsense() }
        return value
    }

    mutating func optionalWord() throws(Nonsense) -> UInt32? {
        let value = try number()
        guard value > 0 else { return nil }
        guard let word = UInt32(exactly: value - 1) else { throw Nonsense() }
        return word
    }

    mutating func flag() throws(Nonsense) -> Bool {
        let value = try byte()
        guard value <= 1 else { throw Nonsense() }
        return value == 1
    }

    /// How many elements follow, of at least so many bytes each.
    mutating func count(ofBytes least: Int = 1) throws(Nonsense) -> Int {
        let value = try number()
        guard value <= UInt64(left / max(1, least)) else { throw Nonsense() }
        return Int(value)
    }

    mutating func text() throws(Nonsense) -> String {
        let length = try count()
        defer { next += length }
        guard let text = String(validating: bytes[next..<next + length], as: UTF8.self) else { throw Nonsense() }
        return text
    }

    mutating func optionalText() throws(Nonsense) -> String? { try flag() ? try text() : nil }

    /// Nothing follows.
    func end() throws(Nonsense) {
        guard left == 0 else { throw Nonsense() }
    }
}
