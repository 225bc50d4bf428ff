import ArgumentParser
import JSONRPC

/// `iommuctl methods [METHOD]`: help that comes from the daemon's own declarations.
struct MethodsCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "methods", abstract: "List the daemon's methods, or describe one.",
        discussion: "This is text in a pipe, too; --json gives the daemon's own description.")

    @OptionGroup var options: GlobalOptions

    @Argument(help: "The method, or the beginning of several, such as ioas.")
    var name: String?

    func run(on daemon: Daemon) throws {
        let catalog = try daemon.catalog()
        let output = options.json ? Output.json : .table
        if let name, let method = catalog.method(name) {
            return output.show(method.described) { _ in VerbHelp.text(method) }
        }
        let wanted = catalog.methods.filter { $0.name.hasPrefix(name ?? "") }
        guard !wanted.isEmpty else { throw catalog.unknown(name ?? "") }
        output.show(.array(wanted.map(\.described))) { _ in
            var table = Table("METHOD", "")
            for method in wanted { table.add(method.name, method.summary) }
            return table.text
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
