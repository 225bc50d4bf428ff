import JSONRPC

/// Requests that are well formed but for one place, made from declarations.
enum RequestShapes {
    /// Stands for JSON text that is put in later: what no value can be written as, such as `1e3`.
    static let hole = JSONValue.string("@@")

    /// The text of params with `token` in place of the hole.
    static func text(_ params: JSONValue, _ token: String) -> String {
        params.text.replacing(hole.text, with: token, maxReplacements: 1)
    }

    /// What has to be there, with the smallest values.
    static func minimal(_ fields: [FieldSchema]) -> JSONValue {
        .object(fields.filter(\.isRequired).map { .init(key: $0.name.description, value: minimal($0.type)) })
    }

    static func minimal(_ type: TypeSchema) -> JSONValue {
        switch type {
        case .bool: .bool(true)
        case .id: .count(1)
        case .unsigned(let range): .count(range.lowerBound)
        case .signed, .signedOrNull, .number: .count(0)
        case .hex: .hex(0)
        case .string, .nameOrID, .any: .string("x")
        case .choice(let names): .string(names[0])
        case .flags(let names): .array([.string(names[0])])
        case .base64: .string("AAAA")
        case .array(let element, let count): .array((0..<count.lowerBound).map { _ in minimal(element) })
        case .object(let fields): minimal(fields)
        case .map: .object([])
        }
    }

    /// A place where a value stands: its type, and params in which it is the hole.
    struct Place {
        var path: String
        let type: TypeSchema
        var params: JSONValue
    }

    /// Each place in params.
    static func places(_ fields: [FieldSchema]) -> [Place] {
        var found: [Place] = []
        for field in fields {
            let name = field.name.description
            for place in places(field.type) {
                var members = minimal(fields).objectValue ?? []
                members.removeAll { $0.key == name }
                members.append(.init(key: name, value: place.params))
                found.append(Place(path: name + place.path, type: place.type, params: .object(members)))
            }
        }
        return found
    }

    private static func places(_ type: TypeSchema) -> [Place] {
        var found = [Place(path: "", type: type, params: hole)]
        switch type {
        case .array(let element, let count):
            let rest = (1..<max(1, count.lowerBound)).map { _ in minimal(element) }
            for place in places(element) {
                found.append(Place(path: "[]" + place.path, type: place.type, params: .array([place.params] + rest)))
            }
        case .object(let fields):
            for place in places(fields) {
                found.append(Place(path: "." + place.path, type: place.type, params: place.params))
            }
        default: break
        }
        return found
    }
}
