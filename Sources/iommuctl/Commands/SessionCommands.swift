import ArgumentParser
import JSONRPC

/// `iommuctl sessions`
struct SessionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions", abstract: "List your sessions; an administrator sees all.")

    @OptionGroup var options: GlobalOptions

    func run() throws {
        options.output.show(try options.connect().call("session.list"))
    }
}

/// `iommuctl objects SESSION`
struct ObjectsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "objects", abstract: "Show the objects of a named session and how they refer to each other.")

    @OptionGroup var options: GlobalOptions

    @Argument(help: "The session's name; without it, what a connection starts with: nothing.")
    var session: String?

    func run() throws {
        let daemon = try options.connect()
        try daemon.enter(session: session, create: false)
        options.output.show(try daemon.call("session.objects"), as: text)
    }

    private func text(_ result: JSONValue) -> String {
        var table = Table("KIND", "ID", "USERS", "REFERS TO", "STATE")
        for object in result["objects"]?.arrayValue ?? [] {
            let shown = ["kind", "id", "users", "refers_to"]
            let state = (object.objectValue ?? []).filter { !shown.contains($0.key) && $0.value != .null }
            let references = (object["refers_to"]?.arrayValue ?? []).map { target in
                target.objectValue == nil
                    ? Table.cell(target) : "\(Table.cell(target["kind"])) \(Table.cell(target["id"]))"
            }
            table.add(
                Table.cell(object["kind"]), Table.cell(object["id"]), Table.cell(object["users"]),
                references.isEmpty ? "-" : references.joined(separator: ", "), Table.cell(.object(state)))
        }
        return table.isEmpty ? "no objects\n" : table.text
    }
}
