/// What STE and CD have in common: 64 bytes in eight words, changed word by word.
public protocol ConfigurationEntry: Equatable, Hashable, Sendable {
    /// The eight little-endian words as they lie in memory.
    var word0: UInt64 { get set }
    /// Bytes 8 to 15.
    var word1: UInt64 { get set }
    /// Bytes 16 to 23.
    var word2: UInt64 { get set }
    /// Bytes 24 to 31.
    var word3: UInt64 { get set }
    /// Bytes 32 to 39.
    var word4: UInt64 { get set }
    /// Bytes 40 to 47.
    var word5: UInt64 { get set }
    /// Bytes 48 to 55.
    var word6: UInt64 { get set }
    /// Bytes 56 to 63.
    var word7: UInt64 { get set }

    /// An entry of zeros, which is invalid (V = 0).
    init()
}

extension ConfigurationEntry {
    /// An entry from its words; missing words are zero, words beyond the eighth are ignored.
    public init(words: [UInt64]) {
        self.init()
        for (index, word) in words.prefix(8).enumerated() {
            self[index] = word
        }
    }

    /// Size in memory, in bytes.
    public static var byteCount: Int { 64 }

    /// The eight words in order.
    public var words: [UInt64] { [word0, word1, word2, word3, word4, word5, word6, word7] }

    /// The word at `index` (0...7); any other index reads zero and ignores writes.
    @inlinable
    public subscript(index: Int) -> UInt64 {
        get {
            switch index {
            case 0: word0
            case 1: word1
            case 2: word2
            case 3: word3
            case 4: word4
            case 5: word5
            case 6: word6
            case 7: word7
            default: 0
            }
        }
        set {
            switch index {
            case 0: word0 = newValue
            case 1: word1 = newValue
            case 2: word2 = newValue
            case 3: word3 = newValue
            case 4: word4 = newValue
            case 5: word5 = newValue
            case 6: word6 = newValue
            case 7: word7 = newValue
            default: break
            }
        }
    }

    /// The fields that lie in the words.
    func decode(_ layout: [FieldLayout]) -> [DecodedField] {
        let words = words
        return layout.map { $0.decode(words) }
    }
}
