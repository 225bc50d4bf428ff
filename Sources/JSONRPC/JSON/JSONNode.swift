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
        /// Elements of an array that are like the one before, in place of their nodes; see ``ElementRun``.
        case run
    }

    /// Offset of the first byte: of the text between the quotes for a string, of the bracket for a container.
    var start: UInt32
    /// Bytes of a scalar's text; elements of an array; members of an object (a key node, then a value node each).
    var length: UInt32
    /// Index of the node after this value and all it contains.
    var next: UInt32
    var kind: Kind
    /// A string: it still holds backslash escapes. An object: it has been checked as a parameter, and its members are
    /// now fields' numbers and values; see `ParameterSource.acceptObject`. An array: it has been checked, and its nodes
    /// hold its integers; see `ParameterSource.acceptIntegers`. A run: its values have been read.
    var escaped: Bool
    /// Of a run: bytes from one element to the next, and how many numbers vary.
    var stride: UInt8 = 0
    var varying: UInt8 = 0

    /// The bits of a checked value, in place of where its text is.
    var bits: UInt64 {
        get { UInt64(length) << 32 | UInt64(start) }
        set {
            start = UInt32(truncatingIfNeeded: newValue)
            length = UInt32(truncatingIfNeeded: newValue >> 32)
        }
    }

    var isContainer: Bool { kind == .object || kind == .array }

    @inline(__always)
    init(_ kind: Kind, start: Int, length: Int, next: Int, escaped: Bool = false) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.length = UInt32(truncatingIfNeeded: length)
        self.next = UInt32(truncatingIfNeeded: next)
        self.kind = kind
        self.escaped = escaped
    }
}

/// Why a text is not an acceptable JSON text, and at which byte.
public struct JSONSyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Problem: String, Sendable {
        case unexpectedEnd = "the text ends inside a value"
        case unexpectedByte = "a byte that cannot stand here"
        case badNumber = "a malformed number"
        case badEscape = "a malformed escape sequence"
        case loneSurrogate = "half of a surrogate pair"
        case controlCharacter = "an unescaped control character in a string"
        case invalidUTF8 = "malformed UTF-8"
        case tooDeep = "nesting over 64 levels"
        case trailingBytes = "more than one value"
    }

    /// What is wrong.
    public let problem: Problem
    /// Byte offset from the start of the text.
    public let offset: Int

    public var description: String { "\(problem.rawValue), at byte \(offset)" }
}
