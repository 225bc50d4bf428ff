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
        for key in ["backend", "pid", "uptime_seconds", "features"] { table.add(key, Table.cell(info[key])) }
        for member in info["systemd"]?.objectValue ?? [] {
            table.add("systemd " + member.key, Table.cell(member.value))
        }
        return table.text + "\n" + ValueText.describe(stats)
    }
}
