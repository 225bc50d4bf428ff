/// The type of a parameter or of a result field: what is checked, and what `rpc.discover` says.
public indirect enum TypeSchema: Sendable {
    case bool
    /// A 32-bit object id: an integer or a `"0x…"` string (parameters only).
    case id
    /// An unsigned number: an integer or a `"0x…"` string (parameters only).
    case unsigned(ClosedRange<UInt64>)
    /// A signed integer (results only).
    case signed
    /// A signed integer or null (results only).
    case signedOrNull
    /// A number with a fraction (results only).
    case number
    /// A lower-case `"0x…"` string (results only).
    case hex
    case string(maximumBytes: Int, pattern: StringPattern?)
    /// One of a set of strings.
    case choice([String])
    /// A set of distinct strings, all of them from one set.
    case flags([String])
    case base64(maximumBytes: Int)
    case array(TypeSchema, count: ClosedRange<Int>)
    case object([FieldSchema])
    /// An object with free keys (results only).
    case map(TypeSchema)
    /// A string, which is a name, or a 32-bit id, which is an integer.
    case nameOrID
    /// Any JSON value.
    case any
}

/// One member of an object: its name, type and doc text.
public struct FieldSchema: Sendable {
    /// The member's key.
    public let name: StaticString
    /// What its value has to be.
    public let type: TypeSchema
    /// Must be present. A member with a default is not required.
    public let isRequired: Bool
    /// What an absent member means, where that is a value.
    public let defaultValue: JSONValue?
    /// One sentence for the reference.
    public let doc: String
    /// Where the checked value is kept during a call.
    let slot: Int
    let defaultBits: UInt64

    init(
        _ name: StaticString, _ type: TypeSchema, required: Bool, defaultValue: JSONValue? = nil,
        defaultBits: UInt64 = 0, slot: Int, doc: String
    ) {
        self.name = name
        self.type = type
        isRequired = required
        self.defaultValue = defaultValue
        self.defaultBits = defaultBits
        self.slot = slot
        self.doc = doc
    }
}

/// A rule for the text of a string: the check itself, and a regular expression that tells clients the same.
public struct StringPattern: Sendable {
    /// ECMA 262 regular expression, for the document.
    public let expression: String
    let accepts: @Sendable (UnsafeRawBufferPointer) -> Bool

    /// A rule told as an expression and checked by `accepts`, which sees UTF-8.
    public init(_ expression: String, accepts: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool) {
        self.expression = expression
        self.accepts = accepts
    }
}
