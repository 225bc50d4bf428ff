import JSONRPC

/// What a value may be: a JSON Schema of the daemon in few cases.
indirect enum ValueKind {
    case bool
    /// An integer, which may be written in hexadecimal.
    case unsigned(ClosedRange<UInt64>)
    case number
    case text
    case choice([String])
    case bytes
    /// A name, or an id.
    case nameOrID
    case list(ValueKind)
    case object([ParameterSchema])
    case any

    init(_ schema: JSONValue) {
        if let words = schema["enum"]?.arrayValue {
            self = .choice(words.compactMap(\.stringValue))
            return
        }
        if let alternatives = schema["oneOf"]?.arrayValue {
            self = Self.either(alternatives)
            return
        }
        switch schema["type"]?.stringValue {
        case "boolean": self = .bool
        case "integer": self = .unsigned(Self.range(schema))
        case "number": self = .number
        case "string" where schema["contentEncoding"]?.stringValue == "base64": self = .bytes
        case "string": self = .text
        case "array": self = .list(ValueKind(schema["items"] ?? .null))
        case "object" where schema["properties"] != nil: self = .object(ParameterSchema.members(of: schema))
        default: self = .any
        }
    }

    private static func either(_ alternatives: [JSONValue]) -> ValueKind {
        guard let integer = alternatives.first(where: { $0["type"]?.stringValue == "integer" }) else { return .any }
        let hasNames = alternatives.contains { $0["type"]?.stringValue == "string" && $0["pattern"] == nil }
        return hasNames ? .nameOrID : .unsigned(range(integer))
    }

    private static func range(_ schema: JSONValue) -> ClosedRange<UInt64> {
        let least = schema["minimum"]?.unsignedValue ?? 0
        return least...max(least, schema["maximum"]?.unsignedValue ?? .max)
    }

    /// In a few words, for a column.
    var title: String {
        switch self {
        case .bool: "yes|no"
        case .unsigned(let range) where range.upperBound == .max: "size or address"
        case .unsigned(let range) where range.upperBound == UInt64(UInt32.max): "number"
        case .unsigned(let range): "\(range.lowerBound)…\(range.upperBound)"
        case .number: "number"
        case .text: "text"
        case .choice(let words): words.joined(separator: "|")
        case .bytes: "bytes"
        case .nameOrID: "name or id"
        case .list(let element): "\(element.title),…"
        case .object(let members): "{" + members.map(\.name).joined(separator: ", ") + "}"
        case .any: "JSON"
        }
    }
}
