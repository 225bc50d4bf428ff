import Glibc

/// A JSON value as a tree: for tooling, configuration and tests. The request path never builds one.
public enum JSONValue: Equatable, Sendable {
    /// One `key: value` of an object.
    public struct Member: Equatable, Sendable {
        /// The name, unescaped.
        public var key: String
        /// What stands under it.
        public var value: JSONValue

        /// A member.
        public init(key: String, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    case null
    case bool(Bool)
    /// An integer within `Int`.
    case integer(Int)
    /// An integer above `Int.max`.
    case unsigned(UInt64)
    /// A number with a fraction or an exponent, or beyond 64 bits.
    case number(Double)
    case string(String)
    case array([JSONValue])
    /// Members in document order; duplicate keys are kept.
    case object([Member])

    /// An unsigned integer, in the case that holds it.
    public static func count(_ value: UInt64) -> JSONValue {
        Int(exactly: value).map(JSONValue.integer) ?? .unsigned(value)
    }

    /// A lower-case `"0x…"` string.
    public static func hex(_ value: UInt64) -> JSONValue { .string("0x" + String(value, radix: 16)) }
}

// MARK: - Access

extension JSONValue {
    /// The first member called `key`, if this is an object that has one.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// The element at `index`, if this is an array that has one.
    public subscript(index: Int) -> JSONValue? {
        guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
        return elements[index]
    }

    /// The text, if this is a string.
    public var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The truth value, if this is one.
    public var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The value of an unsigned integer or a `"0x…"` string.
    public var unsignedValue: UInt64? {
        switch self {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        case .string(let value): value.hasPrefix("0x") ? UInt64(value.dropFirst(2), radix: 16) : nil
        default: nil
        }
    }

    /// The value of an integer that fits.
    public var intValue: Int? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// The elements, if this is an array.
    public var arrayValue: [JSONValue]? {
        if case .array(let value) = self { value } else { nil }
    }

    /// The members, if this is an object.
    public var objectValue: [Member]? {
        if case .object(let value) = self { value } else { nil }
    }
}

// MARK: - Text

extension JSONValue {
    /// Parses one JSON text with the reader that the server uses.
    public init(parsing text: String) throws(JSONSyntaxError) {
        try self.init(parsing: Array(text.utf8))
    }

    /// Parses one JSON text with the reader that the server uses.
    public init(parsing bytes: [UInt8]) throws(JSONSyntaxError) {
        var parser = JSONParser()
        defer { parser.deallocate() }
        var text = ByteBuffer(capacity: bytes.count + 1)
        defer { text.deallocate() }
        for byte in bytes { text.append(byte) }
        text.append(0)
        guard parser.parse(text.base, length: bytes.count) else {
            throw JSONSyntaxError(problem: parser.problem ?? .unexpectedByte, offset: parser.position)
        }
        self.init(parser.nodes, text.base, at: 0)
    }

    init(_ nodes: UnsafePointer<JSONNode>, _ text: UnsafeMutablePointer<UInt8>, at index: Int) {
        let node = nodes[index]
        switch node.kind {
        case .null: self = .null
        case .true: self = .bool(true)
        case .false: self = .bool(false)
        case .integer, .real: self = Self.number(node, text)
        case .string: self = .string(node.string(text))
        case .array:
            var elements: [JSONValue] = []
            node.forEachElement(of: nodes, text, at: index) { elements.append(JSONValue($0, text, at: $1)) }
            self = .array(elements)
        // Only an array holds one.
        case .run: self = .null
        case .object:
            var members: [Member] = []
            var cursor = index + 1
            while cursor < Int(node.next) {
                let value = JSONValue(nodes, text, at: cursor + 1)
                members.append(Member(key: nodes[cursor].string(text), value: value))
                cursor = Int(nodes[cursor + 1].next)
            }
            self = .object(members)
        }
    }

    private static func number(_ node: JSONNode, _ text: UnsafeMutablePointer<UInt8>) -> JSONValue {
        let start = text + Int(node.start)
        if node.kind == .integer {
            switch JSONInteger.decimal(start, Int(node.length)) {
            case .unsigned(let value): return .count(value)
            case .negative(let value): return .integer(Int(value))
            default: break
            }
        }
        return .number(strtod(UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self), nil))
    }

    /// The value as one line of JSON text.
    public var text: String {
        var buffer = ByteBuffer(capacity: 256)
        defer { buffer.deallocate() }
        withUnsafeMutablePointer(to: &buffer) { JSONWriter($0).value(self) }
        return String(decoding: UnsafeBufferPointer(start: buffer.base, count: buffer.count), as: UTF8.self)
    }
}

extension JSONNode {
    /// The unescaped text of a string node. The text in the buffer is left as it is.
    func string(_ text: UnsafeMutablePointer<UInt8>) -> String {
        let raw = UnsafeBufferPointer(start: text + Int(start), count: Int(length))
        guard escaped else { return String(decoding: raw, as: UTF8.self) }
        return String(unsafeUninitializedCapacity: raw.count) { target in
            guard let base = target.baseAddress, let source = raw.baseAddress else { return 0 }
            base.initialize(from: source, count: raw.count)
            return JSONBytes.unescape(base, raw.count)
        }
    }

    /// Calls `body` with the node of each element of an array and the tape that it is on: those of runs have their own.
    func forEachElement(
        of nodes: UnsafePointer<JSONNode>, _ text: UnsafeMutablePointer<UInt8>, at index: Int,
        _ body: (UnsafePointer<JSONNode>, Int) -> Void
    ) {
        var cursor = index + 1
        while cursor < Int(next) {
            if nodes[cursor].kind == .run {
                _ = ElementRun(nodes + cursor).expand(text) { nodes in
                    body(nodes, ElementRun.expandedNode)
                    return true
                }
            } else {
                body(nodes, cursor)
            }
            cursor = Int(nodes[cursor].next)
        }
    }
}
