import ArgumentParser
import Glibc

/// The command line of iommud.
@main
struct Iommuctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iommuctl",
        abstract: "Talk to iommud, the IOMMU manager.",
        discussion: """
            Every method of the daemon is a command of two words, with an option for each parameter: \
            `iommuctl ioas map --ioas 1 --memory guest --length 64K` calls ioas.map. `iommuctl methods` lists them, \
            `iommuctl ioas map --help` describes one.

            Results are tables on a terminal and JSON in a pipe. What the daemon refuses goes to standard error with \
            its reason and what to do about it.

            EXIT STATUS:
            \(ExitStatus.table)
            """,
        version: "iommuctl \(ProgramVersion.text)",
        subcommands: [
            CallCommand.self, MethodsCommand.self, StatusCommand.self, TopologyCommand.self, SessionsCommand.self,
            ObjectsCommand.self, TranslateCommand.self, EventsCommand.self, WatchCommand.self, ShellCommand.self,
            ScriptCommand.self, ExecCommand.self, QMPCommand.self, CDICommand.self, DeviceCommand.self,
            StateCommand.self,
            VSMMUCommand.self,
            DemoCommand.self,
            RunCommand.self,
            CompleteCommand.self,
        ]
    )

    @OptionGroup var options: GlobalOptions

    /// Runs the command line and exits with a status of ``ExitStatus``.
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            try run(arguments, on: nil)
        } catch {
            Glibc.exit(report(error, asJSON: arguments.contains("--json")).rawValue)
        }
    }

    /// Runs one command: one of this program's, or a method of the daemon.
    ///
    /// - Parameter daemon: the connection to use; nil: a new one.
    static func run(_ arguments: [String], on daemon: Daemon?) throws {
        let (options, words) = CallOptions.words.leading(arguments)
        guard !VerbCommand.isMeant(by: words) else {
            return try VerbCommand.run(words: words, options: options, on: daemon)
        }
        // The parser would take leading options for those of the root command, which nobody reads.
        let end = words.firstIndex(of: "--") ?? words.endIndex
        let moved = words.isEmpty ? options : Array(words[..<end]) + options + Array(words[end...])
        var command = try parseAsRoot(moved)
        if let daemon, let command = command as? any DaemonCommand {
            try command.run(on: daemon)
        } else {
            try command.run()
        }
    }

    /// Says what went wrong, if anything did, and chooses the exit status.
    ///
    /// - Parameter place: where in a script it was.
    static func report(_ error: any Error, asJSON: Bool, at place: String = "") -> ExitStatus {
        switch error {
        case let failure as Failure:
            failure.report(asJSON: asJSON, at: place)
            return failure.exitStatus
        case _ where exitCode(for: error) == .success:
            StandardOutput.write(fullMessage(for: error) + "\n")
            return .done
        default:
            StandardOutput.writeError(fullMessage(for: error) + "\n")
            return .unusable
        }
    }
}
