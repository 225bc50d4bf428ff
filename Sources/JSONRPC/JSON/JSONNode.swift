/// One value (or object key) on the tape, in document order.
struct JSONNode {
    enum Kind: UInt8 {
        case null, `false`, `true`
        /// A number without fraction and exponent.
        case integer
        /// Any other number.
        case real
        case string
        case array, object
    }

    /// What is known of an element of an array by those before it.
    enum Likeness: UInt8 {
        case none
        /// It has the bytes of the last element with `.none`, but for the values that vary; see ``ElementTemplate``.
        case alike
        /// And those values have been checked as parameters: their nodes hold bits.
        case checked
    }

    /// Offset of the first byte: of the text between the quotes for a string, of the bracket for a container.
    var start: UInt32
    /// Bytes of a scalar's text; elements of an array; members of an object (a key node, then a value node each).
    var length: UInt32
    /// Index of the node after this value and all it contains.
    var next: UInt32
    var kind: Kind
    /// A string: it still holds backslash escapes. An object: it has been checked as a parameter, and its members are
    /// now fields' numbers and values; see `ParameterSource.acceptObject`.
    var escaped: Bool
    /// For an element of an array.
    var likeness = Likeness.none
    /// Of a value in an element: 1 if it may differ in those alike, being an integer or a "0x…" string. Of an element
    /// that is alike: bit i is set if the i-th of those values is spelled otherwise than in the element before.
    var variation: UInt8 = 0

    /// The bits of a checked value, in place of where its text is.
    var bits: UInt64 {
        get { UInt64(length) << 32 | UInt64(start) }
        set {
            start = UInt32(truncatingIfNeeded: newValue)
            length = UInt32(truncatingIfNeeded: newValue >> 32)
        }
    }

    @inline(__always)
    init(_ kind: Kind, start: Int, length: Int, next: Int, escaped: Bool = false) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.length = UInt32(truncatingIfNeeded: length)
        self.next = UInt32(truncatingIfNeeded: next)
        self.kind = kind
        self.escaped = escaped
    }
}

// MARK: - Many at once

extension JSONNode {
    /// A node as one vector: `start`, `length`, `next` and the four small members.
    typealias Vector = SIMD4<UInt32>

    @inline(__always)
    static func vectors(_ nodes: UnsafeMutablePointer<JSONNode>) -> UnsafeMutablePointer<Vector> {
        UnsafeMutableRawPointer(nodes).assumingMemoryBound(to: Vector.self)
    }

    /// Added to a node, moves it in the text and on the tape.
    @inline(__always)
    static func vector(moved: Int, shifted: Int) -> Vector {
        Vector(UInt32(truncatingIfNeeded: moved), 0, UInt32(truncatingIfNeeded: shifted), 0)
    }

    /// What follows `next` in an element of that kind that is alike.
    @inline(__always)
    static func alike(_ kind: Kind, variation: UInt8) -> UInt32 {
        UInt32(kind.rawValue) | UInt32(Likeness.alike.rawValue) &<< 16 | UInt32(variation) &<< 24
    }
}

/// Why a text is not an acceptable JSON text, and at which byte.
public struct JSONSyntaxError: Error, Equatable, Sendable {
    /// What is wrong.
    public enum Problem: String, Sendable {
        case unexpectedEnd = "the text ends inside a value"
        case unexpectedByte = "a byte that cannot stand here"
        case badNumber = "a malformed number"
        case badEscape = "a malformed escape sequence"
        case loneSurrogate = "half of a surrogate pair"
        case controlCharacter = "an unescaped control character in a string"
        case invalidUTF8 = "invalid UTF-8"
        case tooDeep = "nesting over 64 levels"
        case trailingBytes = "more than one value"
    }

    /// What is wrong.
    public let problem: Problem
    /// Byte offset from the start of the text.
    public let offset: Int
}
