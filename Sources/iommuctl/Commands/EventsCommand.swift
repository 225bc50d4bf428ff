import ArgumentParser
import JSONRPC

/// `iommuctl events`
struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Follow what happens: faults, SMMU events, bonds, queues, devices, sessions.")

    @OptionGroup var options: GlobalOptions

    @Option(help: "The named session whose events are wanted.")
    var session: String?

    @Flag(help: "The events of all sessions: administrators only.")
    var all = false

    @Option(help: "Only this kind; may be repeated.")
    var kind: [String] = []

    @Option(help: "End after this many events.")
    var count: Int?

    func run() throws {
        let daemon = try options.connect()
        try daemon.enter(session: session, create: false)
        let kinds = kind.isEmpty ? nil : JSONValue.array(kind.map(JSONValue.string))
        _ = try daemon.call("events.subscribe", ["kinds": kinds, "all": all ? .bool(true) : nil])
        var seen = 0
        while count.map({ seen < $0 }) ?? true {
            let event = try daemon.nextNotification()["params"] ?? .null
            options.output.show(event, as: line)
            seen += 1
        }
    }

    private func line(_ event: JSONValue) -> String {
        let leading = ["time", "kind"]
        let rest = (event.objectValue ?? []).filter { !leading.contains($0.key) && $0.key != "sequence" }
        let words = leading.map { Table.cell(event[$0]) } + [Table.cell(.object(rest))]
        return Printable.text(words.joined(separator: "  ")) + "\n"
    }
}
