import IOMMUService
import JSONRPC
import Testing

/// Every method, every mistake that its parameters allow: made from the declarations, so that none is left out.
@Suite struct ParameterRefusalTests {
    private let declarations = MethodCatalog.make().declarations

    private func connect() throws -> PlayedClient {
        let bench = try ServiceBench()
        // Some lists and strings are longer than a line may be by default.
        bench.dispatcher.limits.messageBytes = 64 << 20
        return try bench.connect()
    }

    @Test func everyDeclaredMistakeIsAnswered() throws {
        let client = try connect()
        for method in declarations {
            for (code, reason, params) in Self.mistakes(method) {
                let reply = try client.answer(method.title, params)
                let error = reply?["error"]
                #expect(
                    error?["code"]?.intValue == code && error?["data"]?["reason"]?.stringValue == reason,
                    "\(method.title) \(reason) \(params.prefix(200)): \(reply?.text.prefix(200) ?? "")")
            }
        }
    }

    /// One request for each reason of -32602 and of EINVAL that parameters have.
    private static func mistakes(_ method: MethodDeclaration) -> [(code: Int, reason: String, params: String)] {
        let places = RequestShapes.places(method.parameters)
        let declared = Set(method.refusals.map { "\($0.code) \($0.reason)" })
        var found: [(code: Int, reason: String, params: String)] = []
        for (code, reason) in reasons where declared.contains("\(code) \(reason)") {
            if let params = general(method, reason) {
                found.append((code, reason, params))
            } else if let (place, token) = places.firstNonNil({ mistake(reason, in: $0.type) }) {
                found.append((code, reason, RequestShapes.text(place.params, token)))
            } else {
                Issue.record("\(method.title) declares \(reason), and no parameter allows it")
            }
        }
        return found
    }

    private static let reasons: [(Int, String)] =
        [
            "missing_parameter", "unknown_parameter", "duplicate_parameter", "wrong_type", "negative", "over_64_bits",
            "bad_hex", "bad_base64", "unknown_value",
        ].map { (-32602, $0) } + ["out_of_range", "too_long", "bad_format", "wrong_count"].map { (-22, $0) }

    /// Mistakes that concern the members as such.
    private static func general(_ method: MethodDeclaration, _ reason: String) -> String? {
        switch reason {
        case "wrong_type": return "[]"
        case "unknown_parameter": return #"{"no_such_parameter":1}"#
        case "duplicate_parameter":
            let name = method.parameters[0].name
            let value = RequestShapes.minimal(method.parameters[0].type).text
            return #"{"\#(name)":\#(value),"\#(name)":\#(value)}"#
        case "missing_parameter":
            if method.parameters.contains(where: \.isRequired) { return "{}" }
            for field in method.parameters {
                if case .object = field.type { return #"{"\#(field.name)":{}}"# }
                if case .array(.object, _) = field.type { return #"{"\#(field.name)":[{}]}"# }
            }
            return nil
        default: return nil
        }
    }

    private static func mistake(_ reason: String, in type: TypeSchema) -> String? {
        switch (reason, type) {
        case ("negative", .id), ("negative", .unsigned), ("negative", .nameOrID): "-1"
        case ("over_64_bits", .id), ("over_64_bits", .unsigned), ("over_64_bits", .nameOrID): "18446744073709551616"
        case ("bad_hex", .id), ("bad_hex", .unsigned): #""0x""#
        case ("bad_base64", .base64): #""!""#
        case ("unknown_value", .choice): #""none of them""#
        case ("unknown_value", .flags): #"["none of them"]"#
        case ("out_of_range", .unsigned(let range)) where range.lowerBound > 0: "\(range.lowerBound - 1)"
        case ("out_of_range", .unsigned(let range)) where range.upperBound < .max: "\(range.upperBound + 1)"
        case ("too_long", .string(let maximum, _)): "\"" + String(repeating: "a", count: maximum + 1) + "\""
        case ("too_long", .base64(let maximum)): "\"" + String(repeating: "AAAA", count: maximum / 3 + 1) + "\""
        case ("bad_format", .string(_, .some)): #"" ""#
        case ("wrong_count", .array(_, let count)) where count.lowerBound > 0: "[]"
        case ("wrong_count", .array(let element, let count)):
            "[" + String(repeating: RequestShapes.minimal(element).text + ",", count: count.upperBound)
                + RequestShapes.minimal(element).text + "]"
        default: nil
        }
    }

    // MARK: Numbers

    @Test func everyNumberIsTakenAsAnIntegerAndAsHexadecimal() throws {
        let client = try connect()
        var count = 0
        for method in declarations {
            for place in RequestShapes.places(method.parameters) {
                let value: UInt64
                switch place.type {
                case .id: value = 4_000_000_000
                case .unsigned(let range): value = min(range.lowerBound + 11, range.upperBound)
                default: continue
                }
                count += 1
                func reply(_ token: String) throws -> String {
                    // What it says must not depend on what the call before has left.
                    let caller = try method.changesState ? connect() : client
                    let params = RequestShapes.text(place.params, token)
                    let reply = try caller.answer(method.title, params)
                    return (reply?["error"] ?? reply?["result"])?.text ?? ""
                }
                let plain = try reply("\(value)")
                #expect(!Self.saysMistake(plain), "\(method.title) \(place.path): \(plain)")
                let digits = String(value, radix: 16)
                for token in [#""0x\#(digits)""#, #""0x00\#(digits.uppercased())""#] {
                    #expect(try reply(token) == plain, "\(method.title) \(place.path) \(token)")
                }
                for token in ["\(value).0", "1e3", "\"\(value)\"", "true"] {
                    #expect(Self.saysMistake(try reply(token)), "\(method.title) \(place.path) \(token)")
                }
            }
        }
        #expect(count > 100)
    }

    /// Whether a reply finds fault with the form of a number.
    private static func saysMistake(_ reply: String) -> Bool {
        ["wrong_type", "bad_hex"].contains { reply.contains("\"reason\":\"\($0)\"") }
    }

    @Test func theDocumentSaysSoOfEveryNumber() throws {
        let document = OpenRPC.document(declarations, title: "iommud", version: "0")
        for method in document["methods"]?.arrayValue ?? [] {
            for parameter in method["params"]?.arrayValue ?? [] {
                check(
                    parameter["schema"].map { OpenRPC.resolved($0, in: document) },
                    "\(method["name"]?.text ?? "") \(parameter["name"]?.text ?? "")")
            }
        }
    }

    private func check(_ schema: JSONValue?, _ place: String) {
        guard let schema else { return }
        #expect(schema["type"]?.stringValue != "integer", "\(place): a plain integer only")
        if let alternatives = schema["oneOf"]?.arrayValue {
            let types = alternatives.compactMap { $0["type"]?.stringValue }
            #expect(Set(types) == ["integer", "string"], "\(place)")
        }
        check(schema["items"], place + "[]")
        for property in schema["properties"]?.objectValue ?? [] { check(property.value, place + "." + property.key) }
    }
}

extension Array {
    fileprivate func firstNonNil<Value>(_ find: (Element) -> Value?) -> (Element, Value)? {
        for element in self {
            if let value = find(element) { return (element, value) }
        }
        return nil
    }
}
