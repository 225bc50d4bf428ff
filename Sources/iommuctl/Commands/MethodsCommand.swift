import ArgumentParser
import JSONRPC

/// `iommuctl methods [METHOD]`: help that comes from the daemon's own declarations.
struct MethodsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "methods", abstract: "List the daemon's methods, or describe one.")

    @OptionGroup var options: GlobalOptions

    @Argument(help: "The method, or the beginning of several, such as ioas.")
    var name: String?

    func run() throws {
        let document = try options.connect().call("rpc.discover")
        let methods = document["methods"]?.arrayValue ?? []
        let wanted = methods.filter { method in
            guard let name else { return true }
            let title = method["name"]?.stringValue ?? ""
            return title == name || (title.hasPrefix(name) && !methods.contains { $0["name"]?.stringValue == name })
        }
        guard !wanted.isEmpty else { throw Failure.usage("the daemon has no method “\(name ?? "")”") }
        let shown = wanted.map { OpenRPC.resolved($0, in: document) }
        let result: JSONValue = shown.count == 1 && name != nil ? shown[0] : .array(shown)
        options.output.show(result) { MethodHelp.text($0) }
    }
}

/// OpenRPC method objects as text.
enum MethodHelp {
    static func text(_ value: JSONValue) -> String {
        guard let methods = value.arrayValue else { return describe(value) }
        var table = Table("METHOD", "")
        for method in methods { table.add(Table.cell(method["name"]), method["summary"]?.stringValue ?? "") }
        return table.text
    }

    private static func describe(_ method: JSONValue) -> String {
        var text = "\(Table.cell(method["name"])): \(method["summary"]?.stringValue ?? "")\n"
        if method["x-role"]?.stringValue == "admin" { text += "For administrators only.\n" }
        if let maximum = method["x-takes-fds"]?["maximum"]?.intValue, maximum > 0 {
            let minimum = method["x-takes-fds"]?["minimum"]?.intValue ?? 0
            text += "Takes \(minimum == maximum ? "\(minimum)" : "\(minimum) to \(maximum)") file descriptor(s).\n"
        }
        if method["x-returns-fds"]?.boolValue == true { text += "Returns file descriptors.\n" }
        text += parameters(method["params"]?.arrayValue ?? [])
        text += results(method["result"]?["schema"])
        return Printable.lines(text + refusals(method["errors"]?.arrayValue ?? []))
    }

    private static func parameters(_ params: [JSONValue]) -> String {
        guard !params.isEmpty else { return "\nNo parameters.\n" }
        var table = Table("PARAMETER", "TYPE", "", "")
        for param in params {
            let schema = param["schema"]
            let presence =
                param["required"]?.boolValue == true
                ? "required"
                : defaultValue(schema).map { "default \($0)" } ?? "optional"
            table.add(Table.cell(param["name"]), type(schema), presence, param["summary"]?.stringValue ?? "")
        }
        return "\n" + table.text
    }

    private static func defaultValue(_ schema: JSONValue?) -> String? {
        guard let value = schema?["default"], value != .null else { return nil }
        return value.text
    }

    private static func results(_ schema: JSONValue?) -> String {
        let properties = schema?["properties"]?.objectValue ?? []
        guard !properties.isEmpty else { return "" }
        var table = Table("RESULT", "TYPE", "")
        for property in properties {
            table.add(property.key, type(property.value), property.value["description"]?.stringValue ?? "")
        }
        return "\n" + table.text
    }

    private static func refusals(_ errors: [JSONValue]) -> String {
        guard !errors.isEmpty else { return "" }
        var table = Table("ERROR", "REASON", "")
        for error in errors {
            let data = error["data"]
            for reason in data?["reasons"]?.arrayValue ?? [] {
                table.add(
                    Table.cell(data?["errno"]), Table.cell(reason["reason"]), reason["text"]?.stringValue ?? "")
            }
        }
        return "\n" + table.text
    }

    /// A JSON Schema in a few words.
    private static func type(_ schema: JSONValue?) -> String {
        guard let schema else { return "any" }
        if let choices = schema["enum"]?.arrayValue { return choices.map(Table.cell).joined(separator: "|") }
        if let alternatives = schema["oneOf"]?.arrayValue {
            return alternatives.map { type($0) }.joined(separator: " or ")
        }
        switch schema["type"]?.stringValue {
        case "array": return "[\(type(schema["items"]))]"
        case "object":
            guard let properties = schema["properties"]?.objectValue else { return "object" }
            return "{" + properties.map(\.key).joined(separator: ", ") + "}"
        case "string" where schema["pattern"]?.stringValue?.hasPrefix("^0x") == true: return "\"0x…\""
        case "string" where schema["contentEncoding"] != nil: return "base64"
        case let name: return name ?? "any"
        }
    }
}

extension Printable {
    /// As ``text(_:)``, line by line.
    static func lines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { Printable.text(String($0)) }
            .joined(separator: "\n")
    }
}
