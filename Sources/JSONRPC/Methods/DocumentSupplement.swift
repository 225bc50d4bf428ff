/// What a document says besides methods.
public struct DocumentSupplement: Sendable {
    /// What any method can be refused with.
    public let general: [GeneralRefusal]
    /// The kinds of the notification `event`.
    public let kinds: [EventKindDeclaration]
    /// Of methods, in the order in which they can be tried.
    public let examples: [MethodExample]

    /// With these parts.
    public init(
        general: [GeneralRefusal] = [], kinds: [EventKindDeclaration] = [], examples: [MethodExample] = []
    ) {
        (self.general, self.kinds, self.examples) = (general, kinds, examples)
    }
}

/// What a notification of one kind says: the `params` behind its `kind`.
public struct EventKindDeclaration: Sendable {
    /// The word in `kind`.
    public let kind: String
    /// One sentence for the reference.
    public let summary: String
    /// All members, `kind` included, in the order declared.
    public let fields: [FieldSchema]

    /// A kind whose members, apart from `kind`, `body` declares.
    public init(_ kind: String, _ summary: String, _ body: (ResultBuilder) -> Void) {
        let builder = ResultBuilder()
        _ = builder.result("kind", .choice([kind]), "The kind.")
        body(builder)
        (self.kind, self.summary, fields) = (kind, summary, builder.fields)
    }
}

/// A call, and what it is answered: for the document.
public struct MethodExample: Sendable {
    /// The method.
    public let method: String
    /// What it shows.
    public let name: String
    /// The parameters, as JSON text.
    public let params: String
    /// The result, as JSON text.
    public let result: String

    /// A call that is answered so.
    public init(_ method: String, _ name: String, _ params: String, _ result: String) {
        (self.method, self.name, self.params, self.result) = (method, name, params, result)
    }

    /// As OpenRPC has it: one value a parameter.
    var document: JSONValue {
        let params = (try? JSONValue(parsing: Array(params.utf8)))?.objectValue ?? []
        let result = (try? JSONValue(parsing: Array(result.utf8))) ?? .null
        return .members([
            ("name", .string(name)),
            (
                "params",
                .array(params.map { .members([("name", .string($0.key)), ("value", $0.value)]) })
            ),
            ("result", .members([("name", .string("result")), ("value", result)])),
        ])
    }
}
