import ArgumentParser
import JSONRPC

/// A word that could come next.
struct Candidate {
    let text: String
    let summary: String

    init(_ text: String, _ summary: String = "") {
        self.text = text
        self.summary = summary
    }
}

/// What could be written next on a command line.
struct Completion {
    /// nil: there is none, and only what needs none is known.
    private let daemon: Daemon?

    init(_ daemon: Daemon?) { self.daemon = daemon }

    private var catalog: Catalog? { try? daemon?.catalog() }

    /// - Parameter line: from the name of the program to the cursor.
    func candidates(for line: String) -> [Candidate] {
        let parsed = ShellWords.unfinished(line)
        var words = Array(parsed.words.dropFirst())
        let typed = parsed.endsInWord ? words.popLast() ?? "" : ""
        if let option = words.last, let found = values(ofOption: option, words) { return Self.matching(found, typed) }
        words = CallOptions.words.all(words).rest
        return Self.matching(candidates(words, typed), typed)
    }

    private static func matching(_ candidates: [Candidate], _ typed: String) -> [Candidate] {
        candidates.filter { $0.text.hasPrefix(typed) }
    }

    private func candidates(_ words: [String], _ typed: String) -> [Candidate] {
        let commands = Iommuctl.configuration.subcommands.filter { $0.configuration.shouldDisplay }
        guard let first = words.first else {
            let own = commands.map { Candidate($0._commandName, $0.configuration.abstract) }
            let names = Set(own.map(\.text))
            return own + (catalog?.subjects ?? []).filter { !names.contains($0) }.map { Candidate($0, subject($0)) }
                + Self.options(typed)
        }
        if first == "help" { return candidates(Array(words.dropFirst()), typed) }
        let command = commands.first { $0._commandName == first }
        if words.count == 1, !typed.hasPrefix("-") {
            let inner = (command?.configuration.subcommands ?? []).map {
                Candidate($0._commandName, $0.configuration.abstract)
            }
            let verbs = (catalog?.methods(of: first) ?? []).map {
                Candidate($0.verb.swapping("_", for: "-"), $0.summary)
            }
            if !inner.isEmpty || !verbs.isEmpty { return inner + verbs }
        }
        if let method = method(words) { return parameters(of: method.schema, method.arguments, typed) }
        return arguments(of: first, words, typed) + Self.options(typed)
    }

    private func subject(_ name: String) -> String {
        "methods: " + (catalog?.methods(of: name) ?? []).map(\.verb).joined(separator: " ")
    }

    private static func options(_ typed: String) -> [Candidate] {
        guard typed.hasPrefix("-") else { return [] }
        return CallOptions.words.flags.union(CallOptions.words.valued).union(["--help"]).sorted().map { Candidate($0) }
    }

    /// The method that words name.
    private func method(_ words: [String]) -> (schema: MethodSchema, arguments: [String])? {
        guard let catalog else { return nil }
        if words[0].contains("."), let found = catalog.method(words[0]) { return (found, Array(words.dropFirst())) }
        guard words.count > 1, let found = catalog.method("\(words[0]).\(words[1].swapping("-", for: "_"))") else {
            return nil
        }
        return (found, Array(words.dropFirst(2)))
    }

    // MARK: Parameters of methods

    private func parameters(of method: MethodSchema, _ words: [String], _ typed: String) -> [Candidate] {
        let parameters = method.parameters
        if let last = words.last, let parameter = parameters.first(where: { $0.flag == last }) {
            guard case .bool = parameter.kind else { return values(of: parameter, method, typed) }
        }
        let given = Set(words.map { $0.split(separator: "=").first.map(String.init) ?? $0 })
        let open = parameters.filter { !given.contains($0.flag) && !given.contains($0.name) }
        let flags = open.map { Candidate($0.flag, $0.summary) }
        if typed.hasPrefix("-") { return flags + Self.options(typed) }
        let next = parameters.contains(where: \.isRequired) ? open.first(where: \.isRequired) : open.first
        let alone = next.map { values(of: $0, method, typed) } ?? []
        return alone + flags
    }

    private func values(of parameter: ParameterSchema, _ method: MethodSchema, _ typed: String) -> [Candidate] {
        switch parameter.kind {
        case .choice(let words): return words.map { Candidate($0) }
        case .bool: return [Candidate("yes"), Candidate("no")]
        case .list(.choice(let words)):
            let before = typed.split(separator: ",", omittingEmptySubsequences: false).dropLast().map(String.init)
            let head = before.map { $0 + "," }.joined()
            return words.filter { !before.contains($0) }.map { Candidate(head + $0) }
        default: return names(parameter.name, method.subject)
        }
    }

    /// What is called by names: devices, SMMUs, sessions, memory.
    private func names(_ parameter: String, _ subject: String) -> [Candidate] {
        switch (parameter, subject) {
        case ("name", "device"), ("names", _), ("devices", _): devices
        case ("name", "session"): sessions
        case ("smmu", _): topology("smmus").compactMap { $0["name"]?.stringValue }.map { Candidate($0, "SMMU") }
        case ("device", _), ("memory", _):
            (daemon.map { NameTable($0).names(as: parameter) } ?? []).map { Candidate($0, "in this session") }
        case ("method", _): (catalog?.methods ?? []).map { Candidate($0.name, $0.summary) }
        default: []
        }
    }

    // MARK: Arguments of commands

    private func arguments(of command: String, _ words: [String], _ typed: String) -> [Candidate] {
        switch command {
        case "call" where words.count == 1, "methods" where words.count == 1:
            return (catalog?.methods ?? []).map { Candidate($0.name, $0.summary) }
        case "call":
            return (catalog?.method(words[1])?.parameters ?? []).map { Candidate($0.name + "=", $0.summary) }
        case "objects" where words.count == 1: return sessions
        case "translate" where words.count == 1: return devices
        default: return []
        }
    }

    /// What an option of a command can be; nil: it has no value, or is none of these.
    private func values(ofOption option: String, _ words: [String]) -> [Candidate]? {
        switch option {
        case "--session": sessions
        case "--kind" where words.contains("events"): (catalog?.eventKinds ?? []).map { Candidate($0, "events") }
        case "--device" where words.contains("exec") || words.contains("demo"): devices
        case "--access" where words.contains("translate"): ["read", "write", "execute"].map { Candidate($0) }
        default: nil
        }
    }

    private func topology(_ part: String) -> [JSONValue] {
        (try? daemon?.call("topology.list"))?[part]?.arrayValue ?? []
    }

    private var devices: [Candidate] {
        topology("devices").compactMap { device in
            device["name"]?.stringValue.map { name in
                Candidate(name, device["bound_by"]?.stringValue.map { "held by \($0)" } ?? "free")
            }
        }
    }

    private var sessions: [Candidate] {
        let found = (try? daemon?.call("session.list"))?["sessions"]?.arrayValue ?? []
        return found.compactMap { session in
            session["name"]?.stringValue.map { Candidate($0, "\(Table.cell(session["objects"])) objects") }
        }
    }
}
