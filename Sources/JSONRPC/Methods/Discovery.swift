import LinuxIO

extension MethodTable {
    /// Declares `rpc.discover`: the OpenRPC document of everything in the table. To be called last.
    ///
    /// - Parameter general: what any method can be refused with.
    public mutating func declareDiscovery(title: String, version: String, general: [GeneralRefusal] = []) {
        declare("rpc.discover", "This document: all methods, generated from the declarations that dispatch them.") {
            m in
            m.freeResult()
            let written = WrittenDocument()
            return { call, _ in
                call.replyFree { json in
                    written.append(to: json) {
                        OpenRPC.document(
                            call.dispatcher.declarations, title: title, version: version, general: general)
                    }
                }
            }
        }
    }
}

/// The text of a document that does not change: it is made once.
private final class WrittenDocument {
    private var buffer = ByteBuffer(capacity: 0)

    deinit { buffer.deallocate() }

    func append(to json: JSONWriter, _ make: () -> JSONValue) {
        if buffer.count == 0 { withUnsafeMutablePointer(to: &buffer) { JSONWriter($0).value(make()) } }
        json.out.pointee.append(buffer.base, buffer.count)
    }
}

/// OpenRPC 1.x documents from declarations.
public enum OpenRPC {
    static let specification = "1.3.2"

    /// The document of a set of methods.
    ///
    /// - Parameter general: what any of them can be refused with.
    public static func document(
        _ methods: [MethodDeclaration], title: String, version: String, general: [GeneralRefusal] = []
    ) -> JSONValue {
        let errors = ProtocolRefusal.allCases.map { ($0.name, $0.document) } + general.map { ($0.name, $0.document) }
        return .members([
            ("openrpc", .string(specification)),
            ("info", .members([("title", .string(title)), ("version", .string(version))])),
            ("methods", .array(methods.map(method))),
            ("components", .members([("errors", .members(errors))])),
        ])
    }

    private static func method(_ method: MethodDeclaration) -> JSONValue {
        let extensions = [
            ("x-role", JSONValue.string(method.role.rawValue)),
            ("x-changes-state", .bool(method.changesState)),
            (
                "x-takes-fds",
                .members([
                    ("minimum", .integer(method.descriptorsTaken.lowerBound)),
                    ("maximum", .integer(method.descriptorsTaken.upperBound)),
                ])
            ),
            ("x-returns-fds", .bool(method.returnsDescriptors)),
        ]
        return .members(
            [
                ("name", .string(method.title)),
                ("summary", .string(method.summary)),
                ("paramStructure", .string("by-name")),
                ("params", .array(method.parameters.map(parameter))),
                ("result", .members([("name", .string("result")), ("schema", result(method))])),
                ("errors", .array(errors(of: method))),
            ] + extensions)
    }

    private static func parameter(_ field: FieldSchema) -> JSONValue {
        .members([
            ("name", .string(field.name.description)),
            ("summary", .string(field.doc)),
            ("required", .bool(field.isRequired)),
            ("schema", schema(field)),
        ])
    }

    private static func result(_ method: MethodDeclaration) -> JSONValue {
        method.hasFreeResult ? .members([("type", .string("object"))]) : object(method.results)
    }
}

// MARK: - JSON Schema

extension OpenRPC {
    private static func schema(_ field: FieldSchema) -> JSONValue {
        var members = type(field.type)
        if let value = field.defaultValue { members.append(("default", value)) }
        return .members(members)
    }

    private static func object(_ fields: [FieldSchema]) -> JSONValue { .members(objectMembers(fields)) }

    private static func objectMembers(_ fields: [FieldSchema]) -> [(String, JSONValue)] {
        let properties = fields.map { field in
            let described = type(field.type) + [("description", JSONValue.string(field.doc))]
            let value = field.defaultValue.map { described + [("default", $0)] } ?? described
            return (field.name.description, JSONValue.members(value))
        }
        return [
            ("type", .string("object")),
            ("properties", .members(properties)),
            ("required", .array(fields.filter(\.isRequired).map { .string($0.name.description) })),
            ("additionalProperties", .bool(false)),
        ]
    }

    private static func type(_ schema: TypeSchema) -> [(String, JSONValue)] {
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
        case .array(let element, let count):
            return [("type", .string("array")), ("items", .members(type(element)))]
                + (count.lowerBound > 0 ? [("minItems", .integer(count.lowerBound))] : [])
                + bound("maxItems", count.upperBound)
        case .object(let fields): return objectMembers(fields)
        case .map(let element):
            return [("type", .string("object")), ("additionalProperties", .members(type(element)))]
        case .nameOrID:
            let id = JSONValue.members(integer(0...UInt64(UInt32.max)))
            return [("oneOf", .array([.members([("type", .string("string"))]), id]))]
        case .any: return []
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

    private static func strings(_ values: [String]) -> JSONValue { .array(values.map(JSONValue.string)) }
}

extension JSONValue {
    /// An object of members in order.
    static func members(_ members: [(String, JSONValue)]) -> JSONValue {
        .object(members.map { Member(key: $0.0, value: $0.1) })
    }
}
