import LinuxIO

extension MethodTable {
    /// Declares `rpc.discover`: the OpenRPC document of everything in the table. To be called last.
    ///
    /// - Parameters:
    ///   - title: What is described.
    ///   - version: Its version.
    ///   - supplement: What is to be told besides.
    public mutating func declareDiscovery(
        title: String, version: String, besides supplement: DocumentSupplement = DocumentSupplement()
    ) {
        declare("rpc.discover", "This document: all methods, generated from the declarations that dispatch them.") {
            m in
            m.freeResult()
            let written = WrittenDocument()
            return { call, _ in
                call.replyFree { json in
                    written.append(to: json) {
                        OpenRPC.document(
                            call.dispatcher.declarations, title: title, version: version, besides: supplement)
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
    /// Objects have names in `components.schemas`, made of the method and the member that they stand in. Of a method's
    /// parameters those that have to be there come first, for generators of languages in which order counts.
    public static func document(
        _ methods: [MethodDeclaration], title: String, version: String,
        besides supplement: DocumentSupplement = DocumentSupplement()
    ) -> JSONValue {
        let schemas = ComponentSchemas()
        let shown = methods.map { method in
            self.method(method, schemas, supplement.examples.filter { $0.method == method.title })
        }
        let kinds = supplement.kinds
        let event = kinds.isEmpty ? [] : [("x-notifications", JSONValue.array([notification(kinds, schemas)]))]
        let errors =
            ProtocolRefusal.allCases.map { ($0.name, $0.document) }
            + supplement.general.map { ($0.name, $0.document) }
        schemas.addErrors()
        return .members(
            [
                ("openrpc", .string(specification)),
                ("info", .members([("title", .string(title)), ("version", .string(version))])),
                ("methods", .array(shown)),
            ] + event + [
                (
                    "components",
                    .members([("schemas", .members(schemas.all)), ("errors", .members(errors))])
                )
            ])
    }

    private static func method(
        _ method: MethodDeclaration, _ schemas: ComponentSchemas, _ examples: [MethodExample]
    ) -> JSONValue {
        let subject = method.title.split(separator: ".").first.map(String.init) ?? method.title
        let name = ComponentSchemas.name(method.title)
        let parameters = method.parameters.filter(\.isRequired) + method.parameters.filter { !$0.isRequired }
        return .members(
            [
                ("name", .string(method.title)),
                ("summary", .string(method.summary)),
                ("tags", .array([.members([("name", .string(subject))])])),
                ("paramStructure", .string("by-name")),
                ("params", .array(parameters.map { parameter($0, in: name, schemas) })),
                ("result", .members([("name", .string("result")), ("schema", schemas.result(of: method))])),
                ("errors", .array(errors(of: method))),
            ] + (examples.isEmpty ? [] : [("examples", .array(examples.map(\.document)))]) + extensions(of: method))
    }

    private static func extensions(of method: MethodDeclaration) -> [(String, JSONValue)] {
        [
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
    }

    private static func parameter(_ field: FieldSchema, in method: String, _ schemas: ComponentSchemas) -> JSONValue {
        .members([
            ("name", .string(field.name.description)),
            ("summary", .string(field.doc)),
            ("required", .bool(field.isRequired)),
            ("schema", schemas.schema(field, in: method)),
        ])
    }

    private static func notification(_ kinds: [EventKindDeclaration], _ schemas: ComponentSchemas) -> JSONValue {
        let all = kinds.map { (kind: $0.kind, schema: schemas.event($0)) }
        let event = JSONValue.members([
            ("oneOf", .array(all.map(\.schema))),
            (
                "discriminator",
                .members([
                    ("propertyName", .string("kind")),
                    ("mapping", .members(all.map { ($0.kind, $0.schema["$ref"] ?? .null) })),
                ])
            ),
        ])
        return .members([
            ("name", .string("event")),
            ("summary", .string("What subscribers are told; `params` is one of these, by its `kind`.")),
            ("schema", schemas.add("Event", event)),
        ])
    }

    /// A value of the document with every reference to `components.schemas` replaced by what it stands for.
    public static func resolved(_ value: JSONValue, in document: JSONValue) -> JSONValue {
        if let reference = value["$ref"]?.stringValue, let name = reference.split(separator: "/").last {
            let schema = document["components"]?["schemas"]?[String(name)] ?? .null
            let beside = value.objectValue?.filter { $0.key != "$ref" } ?? []
            let members = (resolved(schema, in: document).objectValue ?? []).filter { member in
                !beside.contains { $0.key == member.key }
            }
            return .object(members + beside)
        }
        if let members = value.objectValue {
            return .object(members.map { .init(key: $0.key, value: resolved($0.value, in: document)) })
        }
        return value.arrayValue.map { .array($0.map { resolved($0, in: document) }) } ?? value
    }
}

extension JSONValue {
    /// An object of members in order.
    static func members(_ members: [(String, JSONValue)]) -> JSONValue {
        .object(members.map { Member(key: $0.0, value: $0.1) })
    }
}
