import JSONRPC

/// What a method declares, as help for its command.
enum VerbHelp {
    /// All verbs of a subject.
    static func list(_ subject: String, _ methods: [MethodSchema]) -> String {
        var table = Table(header: [])
        for method in methods { table.add("  " + method.words, method.summary) }
        let commands = Iommuctl.configuration.subcommands.first { $0._commandName == subject }
        for command in commands?.configuration.subcommands ?? [] {
            table.add("  \(subject) \(command._commandName)", command.configuration.abstract)
        }
        let subject = Printable.text(subject)
        return title("USAGE") + "  iommuctl \(subject) VERB …\n\n" + title("VERBS") + table.text
            + "\niommuctl \(subject) VERB --help describes one.\n"
    }

    static func text(_ method: MethodSchema) -> String {
        let width = Terminal.output.width
        var text = Wrapping.indented(Printable.text("\(method.name): \(method.summary)"), by: 0, width: width) + "\n"
        if method.isForAdministrators { text += "For administrators only.\n" }
        text += "\n" + title("USAGE") + "  " + Wrapping.indented(usage(method), by: 6, width: width) + "\n"
        text += options(method)
        text += notes(method, width)
        return text + results(method) + example(method, width) + refusals(method)
    }

    private static func title(_ text: String) -> String { Terminal.output.paint(text, .bold) + "\n" }

    private static func usage(_ method: MethodSchema) -> String {
        let parameters = method.parameters.map { parameter in
            let words = "\(parameter.flag)\(value(parameter).map { " " + $0 } ?? "")"
            return parameter.isRequired ? words : "[\(words)]"
        }
        let descriptors = method.descriptors
        let fd = descriptors.maximum == 0 ? [] : descriptors.minimum == 0 ? ["[--fd NUMBER…]"] : ["--fd NUMBER…"]
        return Printable.text((["iommuctl", method.words] + parameters + fd).joined(separator: " "))
    }

    /// What stands for the value; nil: it has none.
    private static func value(_ parameter: ParameterSchema) -> String? {
        switch parameter.kind {
        case .bool: nil
        case .list: parameter.name.uppercased() + "…"
        default: parameter.name.uppercased()
        }
    }

    private static func options(_ method: MethodSchema) -> String {
        guard !method.parameters.isEmpty else { return "" }
        var table = Table(header: [])
        for parameter in method.parameters {
            let presence = parameter.isRequired ? "required" : parameter.standard.map { "default \(Table.cell($0))" }
            table.add("  " + parameter.flag, parameter.title, presence ?? "", parameter.summary)
        }
        return "\n" + title("PARAMETERS") + table.text
    }

    /// How the values that it takes are written.
    private static func notes(_ method: MethodSchema, _ width: Int?) -> String {
        var notes: [String] = []
        let kinds = method.parameters.map(\.kind)
        if kinds.contains(where: { if case .unsigned = $0 { true } else { false } }) {
            notes.append("Numbers: 4096, 0x1000, 64K, 2MiB. In place of the id of a device or of memory: its name.")
        }
        if kinds.contains(where: { if case .bytes = $0 { true } else { false } }) {
            notes.append("Bytes: @FILE, @- for standard input, text:…, hex:…, or base64.")
        }
        if kinds.contains(where: { if case .list(.object) = $0 { true } else { false } }) {
            notes.append(
                "Elements: KEY=VALUE,KEY=VALUE with + between what is a list; repeat the option for more, or give "
                    + "JSON, or @FILE with one a line.")
        } else if kinds.contains(where: { if case .list = $0 { true } else { false } }) {
            notes.append("Lists: with commas, or the option repeated.")
        }
        if method.returnsDescriptors { notes.append("Descriptors that come with the answer are closed.") }
        guard !notes.isEmpty else { return "" }
        return "\n" + notes.map { "  " + Wrapping.indented($0, by: 4, width: width) + "\n" }.joined()
    }

    private static func results(_ method: MethodSchema) -> String {
        guard !method.results.isEmpty else { return "" }
        var table = Table(header: [])
        for result in method.results { table.add("  " + result.name, result.summary) }
        return "\n" + title("RESULT") + table.text
    }

    private static func example(_ method: MethodSchema, _ width: Int?) -> String {
        guard let members = method.example else { return "" }
        let words = members.flatMap { member in
            ["--" + member.key.swapping("_", for: "-")] + (member.value == .bool(true) ? [] : [word(member.value)])
        }
        let line = Printable.text((["iommuctl", method.words] + words).joined(separator: " "))
        return "\n" + title("EXAMPLE") + "  " + Wrapping.indented(line, by: 6, width: width) + "\n"
    }

    /// A value as it is written on the command line.
    static func word(_ value: JSONValue) -> String {
        if let elements = value.arrayValue, elements.allSatisfy({ $0.objectValue == nil && $0.arrayValue == nil }) {
            return elements.map(word).joined(separator: ",")
        }
        if let text = value.stringValue { return text }
        if value.arrayValue != nil || value.objectValue != nil { return "'\(value.text)'" }
        return Table.cell(value)
    }

    private static func refusals(_ method: MethodSchema) -> String {
        // Mistakes in the parameters are found before.
        let errors = (method.described["errors"]?.arrayValue ?? []).filter { $0["code"]?.intValue != -32602 }
        guard !errors.isEmpty else { return "" }
        var table = Table(header: [])
        for error in errors {
            let data = error["data"]
            for reason in data?["reasons"]?.arrayValue ?? [] {
                table.add(
                    "  " + Table.cell(data?["errno"]), Table.cell(reason["reason"]), reason["text"]?.stringValue ?? "")
            }
        }
        return "\n" + title("REFUSED WITH") + table.text
    }
}
