import JSONRPC

/// What the daemon declares, as its own document tells it.
struct Catalog {
    /// What `rpc.discover` answers.
    let document: JSONValue
    /// All methods, in the order declared.
    let methods: [MethodSchema]

    init(document: JSONValue) {
        self.document = document
        methods = (document["methods"]?.arrayValue ?? []).compactMap { MethodSchema($0, in: document) }
    }

    /// The first words of methods, each once.
    var subjects: [String] {
        methods.map(\.subject).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// The method of this name.
    func method(_ name: String) -> MethodSchema? { methods.first { $0.name == name } }

    /// The methods with this first word.
    func methods(of subject: String) -> [MethodSchema] { methods.filter { $0.subject == subject } }

    /// The kinds of events that there are.
    var eventKinds: [String] {
        let mapping = document["components"]?["schemas"]?["Event"]?["discriminator"]?["mapping"]
        return (mapping?.objectValue ?? []).map(\.key)
    }

    /// What to say of a method that is not there.
    func unknown(_ name: String) -> Failure {
        let hint = Suggestion.text(for: name, among: methods.map(\.name))
        return .usage("the daemon has no method “\(name)”" + (hint ?? "; iommuctl methods lists all"))
    }
}

/// One method.
struct MethodSchema {
    /// `subject.verb`.
    let name: String
    let summary: String
    private let document: JSONValue
    private let method: JSONValue

    init?(_ method: JSONValue, in document: JSONValue) {
        guard let name = method["name"]?.stringValue else { return nil }
        self.name = name
        summary = method["summary"]?.stringValue ?? ""
        self.method = method
        self.document = document
    }

    var subject: String { name.split(separator: ".", maxSplits: 1).first.map(String.init) ?? name }
    var verb: String { name.split(separator: ".", maxSplits: 1).last.map(String.init) ?? name }
    /// As it is written on the command line.
    var words: String { "\(subject) \(verb.swapping("_", for: "-"))" }

    /// Those that have to be there come first.
    var parameters: [ParameterSchema] {
        (method["params"]?.arrayValue ?? []).compactMap { parameter in
            parameter["name"]?.stringValue.map { name in
                ParameterSchema(
                    name: name, summary: parameter["summary"]?.stringValue ?? "",
                    isRequired: parameter["required"]?.boolValue == true,
                    schema: OpenRPC.resolved(parameter["schema"] ?? .null, in: document))
            }
        }
    }

    /// The members of the result, with what each is.
    var results: [ParameterSchema] { ParameterSchema.members(of: described["result"]?["schema"]) }

    var isForAdministrators: Bool { method["x-role"]?.stringValue == "admin" }

    /// The descriptors that it takes: fewest and most.
    var descriptors: (minimum: Int, maximum: Int) {
        let taken = method["x-takes-fds"]
        return (taken?["minimum"]?.intValue ?? 0, taken?["maximum"]?.intValue ?? 0)
    }

    var returnsDescriptors: Bool { method["x-returns-fds"]?.boolValue == true }

    /// Its part of the document, without references.
    var described: JSONValue { OpenRPC.resolved(method, in: document) }

    /// The first example: parameters by name.
    var example: [JSONValue.Member]? {
        method["examples"]?[0]?["params"]?.arrayValue?.compactMap { parameter in
            parameter["name"]?.stringValue.map { .init(key: $0, value: parameter["value"] ?? .null) }
        }
    }
}

/// A parameter, or a member of an object.
struct ParameterSchema {
    let name: String
    let summary: String
    let isRequired: Bool
    let schema: JSONValue

    /// What it may be.
    var kind: ValueKind { ValueKind(schema) }
    /// In a few words, for a column.
    var title: String {
        if case .unsigned = kind, NameTable.kinds.contains(name) { return "id or name" }
        return kind.title
    }

    /// As it is written on the command line.
    var flag: String { "--" + name.swapping("_", for: "-") }

    /// What its absence means, where that is a value.
    var standard: JSONValue? {
        guard let value = schema["default"], value != .null else { return nil }
        return value
    }

    /// The members of an object's schema.
    static func members(of schema: JSONValue?) -> [ParameterSchema] {
        let required = (schema?["required"]?.arrayValue ?? []).compactMap(\.stringValue)
        return (schema?["properties"]?.objectValue ?? []).map { property in
            ParameterSchema(
                name: property.key, summary: property.value["description"]?.stringValue ?? "",
                isRequired: required.contains(property.key), schema: property.value)
        }
    }
}
