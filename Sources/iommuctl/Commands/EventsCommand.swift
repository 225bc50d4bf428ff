import ArgumentParser
import JSONRPC

/// `iommuctl events`
struct EventsCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Follow what happens: faults, SMMU events, bonds, queues, devices, sessions.")

    @OptionGroup var options: GlobalOptions

    @OptionGroup var session: SessionOption

    @Flag(help: "The events of all sessions: administrators only.")
    var all = false

    @Option(help: "Only this kind; may be repeated, or several with commas.")
    var kind: [String] = []

    @Option(help: "End after this many events.")
    var count: Int?

    func run(on daemon: Daemon) throws {
        try session.enter(daemon, create: false)
        let wanted = kind.flatMap { $0.split(separator: ",").map(String.init) }
        if !wanted.isEmpty { try check(wanted, try daemon.catalog().eventKinds) }
        let kinds = wanted.isEmpty ? nil : JSONValue.array(wanted.map(JSONValue.string))
        _ = try daemon.call("events.subscribe", ["kinds": kinds, "all": all ? .bool(true) : nil])
        var seen = 0
        while count.map({ seen < $0 }) ?? true {
            let event = try daemon.nextNotification()["params"] ?? .null
            options.output.show(event, as: line)
            seen += 1
        }
    }

    private func check(_ wanted: [String], _ known: [String]) throws(Failure) {
        for kind in wanted where !known.contains(kind) {
            let hint = Suggestion.text(for: kind, among: known)
            throw .usage(
                "there is no kind of events “\(kind)”" + (hint ?? "; there are \(known.joined(separator: ", "))"))
        }
    }

    private func line(_ event: JSONValue) -> String {
        let leading = ["time", "kind"]
        let rest = (event.objectValue ?? []).filter { !leading.contains($0.key) && $0.key != "sequence" }
        let words = leading.map { Table.cell(event[$0]) } + [Table.cell(.object(rest))]
        let text = Printable.text(words.joined(separator: "  "))
        return Wrapping.indented(text, by: 2, width: Terminal.output.width) + "\n"
    }
}
