/// Which bytes of an element have to be the same and which may be other digits.
struct ElementShape {
    private typealias Block = SIMD2<UInt64>

    /// Eight bytes with digits in them, the first byte lowest. Marks are the highest bits of the bytes they are for.
    private struct Digits {
        /// Offset in the element.
        var offset: Int
        /// All bits of the bytes that are digits.
        var mask: UInt64 = 0
        var known: UInt64
        var digits: UInt64 = 0
        /// These may be letters too; they are in `digits`.
        var hexadecimal: UInt64 = 0
        /// First digits of decimal numbers of several: not to be 0.
        var leading: UInt64 = 0
        /// Bit i is set if some of the i-th number is here.
        var numbers = 0
    }

    /// More numbers, or bytes, make an element no pattern.
    static let maximumNumbers = 8
    static let maximumBytes = 240

    private static let bytesPerWord = 8
    private static let bytesPerBlock = 16
    private static let maximumBlocks = maximumBytes / bytesPerBlock
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let high: UInt64 = ones &* 0x80
    private static let low: UInt64 = ones &* 0x7f

    /// The bytes of the element, and all bits of those that have to be the same.
    private let known: UnsafeMutablePointer<Block>
    private let same: UnsafeMutablePointer<Block>
    private let words: UnsafeMutablePointer<Digits>
    /// The numbers as ``ElementRun/numbers`` has them.
    let numbers: UnsafeMutablePointer<JSONNode>
    /// Bytes of the element.
    private(set) var length = 0
    private var blockCount = 0
    private var wordCount = 0
    private var numberCount = 0

    init() {
        known = .allocate(capacity: Self.maximumBlocks)
        same = .allocate(capacity: Self.maximumBlocks)
        words = .allocate(capacity: Self.maximumBytes / Self.bytesPerWord)
        numbers = .allocate(capacity: Self.maximumNumbers)
    }

    func deallocate() {
        known.deallocate()
        same.deallocate()
        words.deallocate()
        numbers.deallocate()
    }

    // MARK: Making

    /// Makes this the shape of an element of which all bytes have to be the same; `false` if those are too many.
    /// What is readable beyond a text must be so beyond the element.
    mutating func begin(_ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        guard length <= Self.maximumBytes else { return false }
        self.length = length
        (wordCount, numberCount) = (0, 0)
        blockCount = (length &+ Self.bytesPerBlock &- 1) / Self.bytesPerBlock
        for index in 0..<blockCount {
            (known + index).initialize(to: Self.block(text + index &* Self.bytesPerBlock))
            (same + index).initialize(to: Block(repeating: .max))
        }
        for byte in length..<blockCount &* Self.bytesPerBlock { exempt(byte) }
        return true
    }

    /// These bytes of the element are the digits of a number and may be any other as many; `false` if there are too
    /// many numbers.
    ///
    /// - Parameter node: Index of the number's node, counted from the element's.
    mutating func mark(_ kind: JSONNode.Kind, _ offset: Int, _ count: Int, node: Int) -> Bool {
        guard numberCount < Self.maximumNumbers else { return false }
        (numbers + numberCount).initialize(to: JSONNode(kind, start: offset, length: count, next: node))
        for byte in offset..<offset &+ count {
            exempt(byte)
            let mark = UInt64(0x80) << Self.shift(byte)
            let word = word(with: byte)
            word.pointee.mask |= 0xff << Self.shift(byte)
            word.pointee.digits |= mark
            word.pointee.numbers |= 1 << numberCount
            if kind == .string { word.pointee.hexadecimal |= mark }
            if kind == .integer, count > 1, byte == offset { word.pointee.leading |= mark }
        }
        numberCount &+= 1
        return true
    }

    /// Bytes are marked in ascending order.
    private mutating func word(with byte: Int) -> UnsafeMutablePointer<Digits> {
        let offset = byte / Self.bytesPerWord &* Self.bytesPerWord
        if wordCount == 0 || words[wordCount &- 1].offset != offset {
            let block = known[byte / Self.bytesPerBlock]
            (words + wordCount).initialize(to: Digits(offset: offset, known: block[offset / Self.bytesPerWord % 2]))
            wordCount &+= 1
        }
        return words + (wordCount &- 1)
    }

    private func exempt(_ byte: Int) {
        same[byte / Self.bytesPerBlock][byte / Self.bytesPerWord % 2] &= ~(0xff << Self.shift(byte))
    }

    private static func shift(_ byte: Int) -> UInt64 { UInt64(byte % bytesPerWord * 8) }

    // MARK: Comparing

    /// Compares a text of at least `length` bytes with this shape.
    ///
    /// - Returns: -1 if the text is no such element; else bit i is set if the i-th number, or one beside it, differs.
    @inline(__always)
    func variation(_ text: UnsafePointer<UInt8>) -> Int {
        var difference = Block()
        for index in 0..<blockCount {
            difference |= (Self.block(text + index &* Self.bytesPerBlock) ^ known[index]) & same[index]
        }
        guard difference[0] | difference[1] == 0 else { return -1 }
        var variation = 0
        var word = words
        let end = words + wordCount
        while word < end {
            let bytes = JSONBytes.word(text + word.pointee.offset)
            if (bytes ^ word.pointee.known) & word.pointee.mask != 0 {
                guard Self.areDigits(bytes, word) else { return -1 }
                variation |= word.pointee.numbers
            }
            word += 1
        }
        return variation
    }

    @inline(__always)
    private static func block(_ text: UnsafePointer<UInt8>) -> Block {
        UnsafeRawPointer(text).loadUnaligned(as: Block.self)
    }

    @inline(__always)
    private static func areDigits(_ bytes: UInt64, _ word: UnsafeMutablePointer<Digits>) -> Bool {
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
