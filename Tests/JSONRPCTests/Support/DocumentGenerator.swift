import TestSupport

/// Writes random JSON texts, and spoils some of them.
struct DocumentGenerator {
    private var random: SeededGenerator
    private var bytes: [UInt8] = []

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    /// A document; about half of them are mutated, most of those into something malformed.
    mutating func next() -> [UInt8] {
        bytes.removeAll(keepingCapacity: true)
        space()
        value(depth: 0)
        space()
        if random.next(below: 2) == 0 {
            for _ in 0...random.next(below: 3) { mutate() }
        }
        return bytes
    }

    // MARK: Grammar

    private mutating func value(depth: Int) {
        switch random.next(below: depth > 4 ? 8 : 12) {
        case 0: append("null")
        case 1: append("true")
        case 2: append("false")
        case 3, 4, 5: number()
        case 6, 7: string()
        case 8, 9: array(depth: depth)
        default: object(depth: depth)
        }
    }

    private mutating func array(depth: Int) {
        if random.next(below: 8) == 0 { return likeElements(depth: depth) }
        append("[")
        let count = random.next(below: 5)
        for index in 0..<count {
            if index > 0 { append(",") }
            space()
            value(depth: depth + 1)
            space()
        }
        if count == 0 { space() }
        append("]")
    }

    /// One element several times over, with other digits here and there: what programs send most.
    private mutating func likeElements(depth: Int) {
        append("[")
        let start = bytes.count
        if random.next(below: 2) == 0 { object(depth: depth + 1) } else { array(depth: depth + 1) }
        let element = Array(bytes[start...])
        for _ in 0..<random.next(below: 6) {
            append(",")
            bytes += element.map { byte in
                (0x30...0x39).contains(byte) && random.next(below: 4) == 0 ? 0x31 + UInt8(random.next(below: 9)) : byte
            }
        }
        append("]")
    }

    private mutating func object(depth: Int) {
        append("{")
        let count = random.next(below: 5)
        for index in 0..<count {
            if index > 0 { append(",") }
            space()
            // A number makes the keys of one object differ.
            append("\"k\(index)")
            characters(random.next(below: 4))
            append("\"")
            space()
            append(":")
            space()
            value(depth: depth + 1)
            space()
        }
        append("}")
    }

    private mutating func number() {
        let whole: [StaticString] = [
            "0", "-0", "1", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
            "18446744073709551615", "4096", "9007199254740993",
        ]
        if random.next(below: 3) == 0 {
            append(whole[random.next(below: whole.count)])
        } else {
            if random.next(below: 4) == 0 { append("-") }
            append("\(random.next() >> UInt64(random.next(below: 64)))")
        }
        if random.next(below: 4) == 0 { append(".\(random.next(below: 1_000_000))") }
        if random.next(below: 6) == 0 {
            append(["e", "E", "e+", "E-", "e-"][random.next(below: 5)] as StaticString)
            append("\(random.next(below: 30))")
        }
    }

    private mutating func string() {
        append("\"")
        characters(random.next(below: 20))
        append("\"")
    }

    private mutating func characters(_ count: Int) {
        let escapes: [StaticString] = [
            "\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t", "\\u0041", "\\u00e9", "\\u20AC", "\\ud83d\\ude00",
            "\\u0000", "\\uFFFF",
        ]
        let letters: [StaticString] = ["é", "€", "😀", "\u{7f}", "\u{80}", "\u{fffd}", "\u{10ffff}", "key", " "]
        for _ in 0..<count {
            switch random.next(below: 8) {
            case 0: append(escapes[random.next(below: escapes.count)])
            case 1: append(letters[random.next(below: letters.count)])
            default: bytes.append(UInt8(ascii: "a") + UInt8(random.next(below: 26)))
            }
        }
    }

    private mutating func space() {
        while random.next(below: 6) == 0 { bytes.append([0x20, 0x09, 0x0a, 0x0d][random.next(below: 4)]) }
    }

    private mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    // MARK: Mutation

    private static let palette: [UInt8] =
        Array("{}[]:,\"\\/-+.eE019tfnu \t\n\r'#".utf8)
        + [0x01, 0x0b, 0x0c, 0x1f, 0x7f, 0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff]

    private mutating func mutate() {
        guard !bytes.isEmpty else { return bytes.append(Self.palette[random.next(below: Self.palette.count)]) }
        let place = random.next(below: bytes.count)
        let byte = Self.palette[random.next(below: Self.palette.count)]
        switch random.next(below: 6) {
        case 0: bytes[place] = byte
        case 1: bytes.insert(byte, at: place)
        case 2: bytes.remove(at: place)
        case 3: bytes.removeLast(random.next(below: min(bytes.count, 8)))
        case 4: bytes.swapAt(place, random.next(below: bytes.count))
        default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 6)], at: place)
        }
    }
}
