/// JSON Schema of declared types: `components.schemas` of a document, filled as its methods are described.
///
/// An object is called by the method and the members on the way to it, `TopologyListDeviceReserved`; a list's elements
/// by the list without its plural; a result is the method's `Reply`.
final class ComponentSchemas {
    /// In the order in which each was met, those inside of another before it.
    private(set) var all: [(String, JSONValue)] = []

    /// `ioas.map_many` as `IoasMapMany`.
    static func name(_ text: String) -> String {
        text.split { $0 == "." || $0 == "_" }.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    /// What one element of a list of this name is called.
    private static func singular(_ name: String) -> String {
        name.hasSuffix("s") && !name.hasSuffix("ss") ? String(name.dropLast()) : name
    }

    /// Gives a schema a name; the reference to it.
    func add(_ name: String, _ schema: JSONValue) -> JSONValue {
        all.append((name, schema))
        return .members([("$ref", .string("#/components/schemas/\(name)"))])
    }

    /// A parameter or member of the object `owner`, with its default.
    func schema(_ field: FieldSchema, in owner: String) -> JSONValue {
        .members(members(field, in: owner))
    }

    private func members(_ field: FieldSchema, in owner: String) -> [(String, JSONValue)] {
        let members = type(field.type, owner + Self.name(field.name.description))
        return field.documentedDefault.map { members + [("default", $0)] } ?? members
    }

    /// An object without members is shown where it stands; whatever else a method answers has a name.
    func result(of method: MethodDeclaration) -> JSONValue {
        if method.hasFreeResult { return .members([("type", .string("object"))]) }
        let name = Self.name(method.title)
        let schema = object(method.results, name)
        return method.results.isEmpty ? schema : add(name + "Reply", schema)
    }

    /// `params` of the notification of one kind.
    func event(_ kind: EventKindDeclaration) -> JSONValue {
        let name = "Event" + Self.name(kind.kind)
        var members = object(kind.fields, name).objectValue ?? []
        members.insert(.init(key: "description", value: .string(kind.summary)), at: 1)
        return add(name, .object(members))
    }

    private func object(_ fields: [FieldSchema], _ name: String) -> JSONValue {
        let properties = fields.map { field in
            let described = members(field, in: name) + [("description", JSONValue.string(field.doc))]
            return (field.name.description, JSONValue.members(described))
        }
        return .members([
            ("type", .string("object")),
            ("properties", .members(properties)),
            ("required", .array(fields.filter(\.isRequired).map { .string($0.name.description) })),
            ("additionalProperties", .bool(false)),
        ])
    }

    private func type(_ schema: TypeSchema, _ name: String) -> [(String, JSONValue)] {
        switch schema {
        case .array(let element, let count):
            return [("type", .string("array")), ("items", .members(type(element, Self.singular(name))))]
                + (count.lowerBound > 0 ? [("minItems", .integer(count.lowerBound))] : [])
                + Self.bound("maxItems", count.upperBound)
        case .object(let fields):
            let reference = add(name, object(fields, name))
            return reference.objectValue?.map { ($0.key, $0.value) } ?? []
        case .map(let element):
            return [("type", .string("object")), ("additionalProperties", .members(type(element, name)))]
        default: return Self.plain(schema)
        }
    }

    /// The schema of what has no name.
    private static func plain(_ schema: TypeSchema) -> [(String, JSONValue)] {
        switch schema {
        case .bool: return [("type", .string("boolean"))]
        case .number: return [("type", .string("number"))]
        case .signed: return [("type", .string("integer"))]
        case .signedOrNull: return [("type", strings(["integer", "null"]))]
        case .hex: return hexString("^0x(0|[1-9a-f][0-9a-f]{0,15})$")
        case .id: return integerOrHex(0...UInt64(UInt32.max))
        case .unsigned(let range): return integerOrHex(range)
        case .string(let maximum, let pattern):
            return [("type", .string("string"))] + bound("maxLength", maximum)
                + (pattern.map { [("pattern", .string($0.expression))] } ?? [])
        case .choice(let names): return [("type", .string("string")), ("enum", strings(names))]
        case .flags(let names):
            let item = JSONValue.members([("type", .string("string")), ("enum", strings(names))])
            return [("type", .string("array")), ("items", item)]
        case .base64(let maximum):
            return [("type", .string("string")), ("contentEncoding", .string("base64"))]
                + (maximum == .max ? [] : bound("maxLength", (maximum + 2) / 3 * 4))
        case .nameOrID:
            let id = JSONValue.members(integer(0...UInt64(UInt32.max)))
            return [("oneOf", .array([.members([("type", .string("string"))]), id]))]
        case .any, .array, .object, .map: return []
        }
    }

    private static func bound(_ key: String, _ value: Int) -> [(String, JSONValue)] {
        value == .max ? [] : [(key, .integer(value))]
    }

    private static func integer(_ range: ClosedRange<UInt64>) -> [(String, JSONValue)] {
        [
            ("type", .string("integer")), ("minimum", .count(range.lowerBound)),
            ("maximum", .count(range.upperBound)),
        ]
    }

    private static func integerOrHex(_ range: ClosedRange<UInt64>) -> [(String, JSONValue)] {
        [("oneOf", .array([.members(integer(range)), .members(hexString("^0x[0-9A-Fa-f]+$"))]))]
    }

    private static func hexString(_ pattern: String) -> [(String, JSONValue)] {
        [("type", .string("string")), ("pattern", .string(pattern))]
    }

    static func strings(_ values: [String]) -> JSONValue { .array(values.map(JSONValue.string)) }
}

extension FieldSchema {
    /// What an absent member means, as a value that fits the schema.
    var documentedDefault: JSONValue? {
        guard defaultValue != nil, case .flags(let names) = type else { return defaultValue }
        return ComponentSchemas.strings(
            names.enumerated().filter { defaultBits >> UInt64($0.offset) & 1 != 0 }.map(\.element))
    }
}
