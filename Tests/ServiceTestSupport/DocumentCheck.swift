import JSONRPC

/// Values held against the JSON Schemas of a document: what the schemas of `rpc.discover` use, and no more.
package struct DocumentCheck: Sendable {
    private let document: JSONValue

    /// With the schemas of this document's components.
    package init(_ document: JSONValue) { self.document = document }

    /// A schema of the components by its name.
    package func component(_ name: String) -> JSONValue? { document["components"]?["schemas"]?[name] }

    /// What is wrong with a value; empty: it is as the schema says.
    package func problems(_ value: JSONValue, _ schema: JSONValue, at place: String) -> [String] {
        if let reference = schema["$ref"]?.stringValue {
            guard let target = component(String(reference.split(separator: "/").last ?? "")) else {
                return ["\(place): there is no \(reference)"]
            }
            return problems(value, target, at: place)
        }
        if let alternatives = schema["oneOf"]?.arrayValue {
            let fitting = alternatives.filter { problems(value, $0, at: place).isEmpty }
            return fitting.count == 1 ? [] : ["\(place): \(value.text) fits \(fitting.count) of \(schema.text)"]
        }
        let types = schema["type"]?.arrayValue ?? schema["type"].map { [$0] } ?? []
        if !types.isEmpty, !types.contains(where: { Self.kinds(value).contains($0.stringValue ?? "") }) {
            return ["\(place): \(value.text) is none of \(types.map(\.text))"]
        }
        return scalarProblems(value, schema, at: place) + elementProblems(value, schema, at: place)
            + memberProblems(value, schema, at: place)
    }

    private static func kinds(_ value: JSONValue) -> [String] {
        switch value {
        case .null: ["null"]
        case .bool: ["boolean"]
        case .integer, .unsigned: ["integer", "number"]
        case .number: ["number"]
        case .string: ["string"]
        case .array: ["array"]
        case .object: ["object"]
        }
    }

    private func scalarProblems(_ value: JSONValue, _ schema: JSONValue, at place: String) -> [String] {
        if let words = schema["enum"]?.arrayValue, !words.contains(value) {
            return ["\(place): \(value.text) is none of \(words.map(\.text))"]
        }
        if let pattern = schema["pattern"]?.stringValue, let text = value.stringValue {
            guard let expression = try? Regex(pattern) else { return ["\(place): \(pattern) is no expression"] }
            if text.firstMatch(of: expression) == nil { return ["\(place): \(text) is not \(pattern)"] }
        }
        if let maximum = schema["maximum"]?.intValue, let number = value.intValue, number > maximum {
            return ["\(place): \(number) is more than \(maximum)"]
        }
        return []
    }

    private func elementProblems(_ value: JSONValue, _ schema: JSONValue, at place: String) -> [String] {
        guard let elements = value.arrayValue, let items = schema["items"] else { return [] }
        if let minimum = schema["minItems"]?.intValue, elements.count < minimum { return ["\(place): too few"] }
        if let maximum = schema["maxItems"]?.intValue, elements.count > maximum { return ["\(place): too many"] }
        return elements.flatMap { problems($0, items, at: place + "[]") }
    }

    private func memberProblems(_ value: JSONValue, _ schema: JSONValue, at place: String) -> [String] {
        guard let members = value.objectValue else { return [] }
        let declared = schema["properties"]
        let missing = (schema["required"]?.arrayValue ?? []).compactMap(\.stringValue).filter { value[$0] == nil }
        return missing.map { "\(place): \($0) is missing" }
            + members.flatMap { member -> [String] in
                let inner = place + "." + member.key
                if let one = declared?[member.key] { return problems(member.value, one, at: inner) }
                let others = schema["additionalProperties"]
                if others == .bool(false) { return ["\(inner) is not declared"] }
                return others?.objectValue == nil ? [] : problems(member.value, others ?? .null, at: inner)
            }
    }
}
