/// Numbers and texts one after the other, as messages to and from helpers have them; little-endian.
struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ flag: Bool) { put(UInt8(flag ? 1 : 0)) }

    mutating func put<Number: FixedWidthInteger>(_ number: Number?) {
        put(number != nil)
        put(number ?? 0)
    }

    /// At most 1 KiB of it.
    mutating func put(_ text: String) {
        let characters = text.utf8.prefix(WireReader.longestText)
        put(UInt16(characters.count))
        bytes.append(contentsOf: characters)
    }
}

/// Takes apart what a ``WireWriter`` has made; nil where it has not.
struct WireReader {
    private var rest: ArraySlice<UInt8>
    /// Bytes
    static let longestText = 1024

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// All has been taken.
    var isAtEnd: Bool { rest.isEmpty }

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number? {
        let size = MemoryLayout<Number>.size
        guard rest.count >= size else { return nil }
        var number = Number.zero
        withUnsafeMutableBytes(of: &number) { $0.copyBytes(from: rest.prefix(size)) }
        rest = rest.dropFirst(size)
        return Number(littleEndian: number)
    }

    mutating func flag() -> Bool? {
        switch number(UInt8.self) {
        case 0: false
        case 1: true
        default: nil
        }
    }

    /// A number that need not be there: the outer nil is a mistake.
    mutating func optional<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number?? {
        guard let isThere = flag(), let number = number(type) else { return nil }
        return .some(isThere ? number : nil)
    }

    mutating func text() -> String? {
        guard let count = number(UInt16.self), count <= Self.longestText, rest.count >= count else { return nil }
        let text = String(decoding: rest.prefix(Int(count)), as: UTF8.self)
        rest = rest.dropFirst(Int(count))
        return text
    }
}
