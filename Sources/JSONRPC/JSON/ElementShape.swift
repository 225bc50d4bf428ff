/// Which bytes of an element have to be the same and which may be other digits.
struct ElementShape {
    /// Eight bytes, the first one lowest. Marks are the highest bits of the bytes they are for.
    private struct Word {
        /// All bits of the bytes that belong to the element.
        var inside: UInt64 = .max
        /// All bits of the bytes that have to be the same.
        var same: UInt64 = .max
        var digits: UInt64 = 0
        /// These may be letters too; they are in `digits`.
        var hexadecimal: UInt64 = 0
        /// First digits of decimal numbers of several: not to be 0.
        var leading: UInt64 = 0
        /// Bit i is set if some of the i-th number is here.
        var values = 0
    }

    /// More numbers make an element no pattern.
    static let maximumValues = 8

    private static let bytesPerWord = 8
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let high: UInt64 = ones &* 0x80
    private static let low: UInt64 = ones &* 0x7f

    private let words: UnsafeMutablePointer<Word>
    private let maximumWords: Int
    /// Bytes of the element.
    private(set) var length = 0
    private var valueCount = 0

    init(maximumBytes: Int) {
        maximumWords = maximumBytes / Self.bytesPerWord
        words = .allocate(capacity: maximumWords)
        words.initialize(repeating: Word(), count: maximumWords)
    }

    func deallocate() { words.deallocate() }

    /// Makes this the shape of an element of which all bytes have to be the same; `false` if those are too many.
    mutating func begin(_ length: Int) -> Bool {
        guard length <= maximumWords * Self.bytesPerWord else { return false }
        (self.length, valueCount) = (length, 0)
        let count = (length + Self.bytesPerWord - 1) / Self.bytesPerWord
        for word in words..<words + count { word.pointee = Word() }
        for byte in length..<count * Self.bytesPerWord {
            let word = words + (count - 1)
            word.pointee.inside &= ~(0xff << Self.shift(byte))
            word.pointee.same = word.pointee.inside
        }
        return true
    }

    /// These bytes are a number and may be any other of as many digits; `false` if there are too many numbers.
    mutating func mark(_ offset: Int, _ count: Int, isHexadecimal: Bool) -> Bool {
        guard valueCount < Self.maximumValues else { return false }
        for byte in offset..<offset &+ count {
            let word = words + byte / Self.bytesPerWord
            let mark = UInt64(0x80) << Self.shift(byte)
            word.pointee.same &= ~(0xff << Self.shift(byte))
            word.pointee.digits |= mark
            word.pointee.values |= 1 << valueCount
            if isHexadecimal { word.pointee.hexadecimal |= mark }
            if !isHexadecimal, count > 1, byte == offset { word.pointee.leading |= mark }
        }
        valueCount += 1
        return true
    }

    private static func shift(_ byte: Int) -> UInt64 { UInt64(byte % bytesPerWord * 8) }

    /// Compares a text with an element of this shape. It may end early: nothing is read beyond the word with the first
    /// difference.
    ///
    /// - Returns: -1 if the text is no such element; else bit i is set if the i-th number, or one beside it, differs.
    @inline(__always)
    func variation(_ text: UnsafePointer<UInt8>, from known: UnsafePointer<UInt8>) -> Int {
        var done = 0
        var word = words
        var variation = 0
        while done < length {
            let bytes = JSONBytes.word(text + done)
            let difference = bytes ^ JSONBytes.word(known + done)
            if difference & word.pointee.inside != 0 {
                guard difference & word.pointee.same == 0, Self.areDigits(bytes, word) else { return -1 }
                variation |= word.pointee.values
            }
            done &+= Self.bytesPerWord
            word += 1
        }
        return variation
    }

    @inline(__always)
    private static func areDigits(_ bytes: UInt64, _ word: UnsafeMutablePointer<Word>) -> Bool {
        let value = bytes ^ ones &* 0x30
        // No sum goes beyond its byte. The highest bit of a byte says that it is above a bound.
        let isAbove9 = (value & low) &+ ones &* 0x76 | value
        let letter = (bytes | ones &* 0x20) & low
        let isLetter = (letter &+ ones &* 0x1f) & ~(letter &+ ones &* 0x19) & ~bytes
        let isZero = ~((value & low) &+ low | value)
        let isNone = isAbove9 & word.pointee.digits & ~(isLetter & word.pointee.hexadecimal)
        let bad = isNone | isZero & word.pointee.leading
        return bad & high == 0
    }
}
