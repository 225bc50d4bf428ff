import ArgumentParser
import JSONRPC

/// `iommuctl status`
struct StatusCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show what the daemon is and how much it does.")

    @OptionGroup var options: GlobalOptions

    func run(on daemon: Daemon) throws {
        let info = try daemon.call("daemon.info")
        let stats = try daemon.call("daemon.stats")
        let result = JSONValue.object([.init(key: "info", value: info), .init(key: "stats", value: stats)])
        options.output.show(result) { _ in text(info, stats, path: daemon.path) }
    }

    private func text(_ info: JSONValue, _ stats: JSONValue, path: String) -> String {
        var table = Table(header: ["\(Table.cell(info["name"])) \(Table.cell(info["version"]))", "answers on \(path)"])
        let api = info["api"]
        table.add("API", "\(Table.cell(api?["major"])).\(Table.cell(api?["minor"]))")
        for key in ["backend", "pid", "uptime_seconds", "starts", "durable"] { table.add(key, Table.cell(info[key])) }
        table.add("features", spaced(info["features"]?.arrayValue?.map { Table.cell($0) } ?? []))
        let systemd = (info["systemd"]?.objectValue ?? []).filter { $0.value == .bool(true) }.map(\.key)
        table.add("systemd", systemd.isEmpty ? "-" : spaced(systemd))
        let figures = (stats["gauges"]?.objectValue ?? []) + (stats["counters"]?.objectValue ?? [])
        table.add("figures", spaced(figures.map { "\($0.key)=\(Table.cell($0.value))" }))
        let turns = (stats["turns"]?.objectValue ?? []).filter { $0.value != .integer(0) }
        table.add("turns below µs", spaced(turns.map { "\($0.key)=\(Table.cell($0.value))" }))
        return table.text + "\n" + requests(stats) + "\n" + (stats["pools"].flatMap { ValueText.table(of: $0) } ?? "")
    }

    private func spaced(_ words: [String]) -> String { words.joined(separator: ", ") }

    /// What was asked for, how often it was refused, and how long the loop was at it once at most.
    private func requests(_ stats: JSONValue) -> String {
        var table = Table("METHOD", "REQUESTS", "ERRORS", "LONGEST TURN µs")
        for member in stats["requests"]?.objectValue ?? [] {
            table.add(
                member.key, Table.cell(member.value), Table.cell(stats["errors"]?[member.key]),
                Table.cell(stats["longest_turn_microseconds"]?[member.key]))
        }
        return table.text
    }
}
