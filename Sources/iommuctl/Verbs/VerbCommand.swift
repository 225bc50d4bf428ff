import ArgumentParser
import JSONRPC

/// `iommuctl SUBJECT VERB …`: a method of the daemon, with what it declares.
enum VerbCommand {
    /// Commands of this program that are subjects of methods, too: a second word that is none of theirs is a verb.
    private static let shared = ["topology", "events", "state", "vsmmu", "device"]

    /// Those of them whose help is that of the methods.
    private static let mostlyMethods = ["device", "vsmmu"]

    /// Whether words mean a method, or none of this program's commands.
    static func isMeant(by words: [String]) -> Bool {
        var words = words[...]
        if words.first == "help", words.count > 1 { words = words.dropFirst() }
        guard let first = words.first, !first.hasPrefix("-"), first != "help" else { return false }
        let commands = Iommuctl.configuration.subcommands
        guard let command = commands.first(where: { $0.configuration.commandName == first }) else { return true }
        guard shared.contains(first) else { return false }
        guard let second = words.dropFirst().first, !second.hasPrefix("-") else { return mostlyMethods.contains(first) }
        return !command.configuration.subcommands.contains { $0._commandName == second }
    }

    /// - Parameter options: those that stood before the words.
    static func run(words: [String], options: [String], on shared: Daemon?) throws {
        let (own, rest) = CallOptions.words.all(words)
        let parsed = try VerbOptions.parse(options + own)
        let daemon = try shared ?? parsed.options.connect()
        let catalog = try daemon.catalog()
        let (name, arguments) = split(rest)
        let wantsHelp = rest.first == "help" || arguments.contains { $0 == "--help" || $0 == "-h" }
        guard let method = catalog.method(name) else {
            return try explain(name, arguments, catalog, wantsHelp)
        }
        guard !wantsHelp else { return StandardOutput.write(VerbHelp.text(method)) }
        try parsed.call.session.enter(daemon, method)
        let parameters = try VerbArguments(method, ValueReader(names: NameTable(daemon))).parse(arguments)
        try MethodCall(method: method, name: name, parameters: parameters)
            .run(on: daemon, parsed.call, parsed.options.output)
    }

    /// `ioas map …` and `ioas.map …` as the name of the method and the words behind it.
    private static func split(_ words: [String]) -> (name: String, arguments: [String]) {
        var words = words[...]
        if words.first == "help" { words = words.dropFirst() }
        guard let subject = words.popFirst() else { return ("", []) }
        if subject.contains(".") { return (subject.swapping("-", for: "_"), Array(words)) }
        guard let verb = words.first, !verb.hasPrefix("-") else { return (subject, Array(words)) }
        return ("\(subject).\(verb.swapping("-", for: "_"))", Array(words.dropFirst()))
    }

    /// What there is instead of what was written.
    private static func explain(
        _ name: String, _ arguments: [String], _ catalog: Catalog, _ wantsHelp: Bool
    ) throws(Failure) {
        let subject = name.split(separator: ".").first.map(String.init) ?? name
        let verbs = catalog.methods(of: subject)
        guard !verbs.isEmpty else {
            let commands = Iommuctl.configuration.subcommands.map { $0._commandName }
            let hint = Suggestion.text(for: subject, among: commands + catalog.subjects)
            throw .usage("there is no command “\(subject)”" + (hint ?? "; iommuctl --help and methods list them"))
        }
        guard name != subject else {
            StandardOutput.write(VerbHelp.list(subject, verbs))
            guard arguments.isEmpty || wantsHelp else { throw .usage("“\(subject)” needs one of these verbs first") }
            return
        }
        let verb = name.dropFirst(subject.count + 1).swapping("_", for: "-")
        let known = verbs.map { $0.verb.swapping("_", for: "-") }
        throw .usage(
            "“\(subject)” has no verb “\(verb)”"
                + (Suggestion.text(for: verb, among: known) ?? "; it has \(known.joined(separator: ", "))"))
    }
}

extension SessionOption {
    /// As ``enter(_:create:)``, unless the method is about sessions or the daemon and the session was not asked for.
    func enter(_ daemon: Daemon, _ method: MethodSchema) throws(Failure) {
        guard name != nil || !["session.attach", "session.close", "session.list"].contains(method.name),
            name != nil || !["daemon", "rpc", "topology", "state"].contains(method.subject)
        else { return }
        try enter(daemon, create: true)
    }
}
