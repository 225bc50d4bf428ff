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
            let written = WrittenDocument(title: title, version: version, supplement)
            return { call, _ in
                let document = call.dispatcher.declarations
                var index = 0
                return call.reply(opening: written.open) {
                    UnfinishedReply {
                        written.write(document, index, to: $0)
                        index += 1
                        return index < document.count
                    } rest: {
                        written.writeRest(to: $0)
                    }
                }
            }
        }
    }
}

/// The text of a document that does not change: each part of it is made once, when somebody first gets as far.
private final class WrittenDocument {
    private let title: String
    private let version: String
    private let supplement: DocumentSupplement
    private let schemas = ComponentSchemas()
    /// Of the methods that are made, in order.
    private var methods: [[UInt8]] = []
    /// What stands behind the methods.
    private var rest: [UInt8] = []

    init(title: String, version: String, _ supplement: DocumentSupplement) {
        (self.title, self.version, self.supplement) = (title, version, supplement)
    }

    /// All up to the first method.
    func open(_ out: UnsafeMutablePointer<ByteBuffer>) {
        let head = Self.text(of: .members(OpenRPC.head(title: title, version: version)))
        // Without the brace that would end it.
        Self.append(head.dropLast(), to: out)
        out.pointee.append(",\"methods\":[")
    }

    /// A method as an element. Whoever is the first to get to it has it made, after all before it.
    func write(_ declarations: [MethodDeclaration], _ index: Int, to json: JSONWriter) {
        while methods.count <= index {
            let method = declarations[methods.count]
            methods.append(Self.text(of: OpenRPC.method(method, schemas, supplement)))
        }
        json.separate()
        Self.append(methods[index][...], to: json.out)
    }

    /// The members behind the methods, all of which are made.
    func writeRest(to json: JSONWriter) {
        if rest.isEmpty {
            let text = Self.text(of: .members(OpenRPC.rest(schemas, supplement)))
            rest = [UInt8(ascii: ",")] + text.dropFirst().dropLast()
        }
        Self.append(rest[...], to: json.out)
    }

    private static func append(_ text: ArraySlice<UInt8>, to out: UnsafeMutablePointer<ByteBuffer>) {
        text.withUnsafeBufferPointer { if let base = $0.baseAddress { out.pointee.append(base, $0.count) } }
    }

    private static func text(of value: JSONValue) -> [UInt8] { Array(value.text.utf8) }
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
        let shown = methods.map { method($0, schemas, supplement) }
        return .members(
            head(title: title, version: version) + [("methods", .array(shown))] + rest(schemas, supplement))
    }

    /// What stands before the methods.
    static func head(title: String, version: String) -> [(String, JSONValue)] {
        [
            ("openrpc", .string(specification)),
            ("info", .members([("title", .string(title)), ("version", .string(version))])),
        ]
    }

    /// What stands behind the methods, of which `schemas` has all names.
    static func rest(_ schemas: ComponentSchemas, _ supplement: DocumentSupplement) -> [(String, JSONValue)] {
        let kinds = supplement.kinds
        let event = kinds.isEmpty ? [] : [("x-notifications", JSONValue.array([notification(kinds, schemas)]))]
        let errors =
            ProtocolRefusal.allCases.map { ($0.name, $0.document) }
            + supplement.general.map { ($0.name, $0.document) }
        schemas.addErrors()
        return event + [
            ("components", .members([("schemas", .members(schemas.all)), ("errors", .members(errors))]))
        ]
    }

    static func method(
        _ method: MethodDeclaration, _ schemas: ComponentSchemas, _ supplement: DocumentSupplement
    ) -> JSONValue {
        let examples = supplement.examples.filter { $0.method == method.title }
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
