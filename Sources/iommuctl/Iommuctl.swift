import ArgumentParser
import Glibc

/// The command line of iommud.
@main
struct Iommuctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iommuctl",
        abstract: "Talk to iommud, the IOMMU manager.",
        discussion: """
            Results are tables on a terminal and JSON in a pipe. What the daemon refuses goes to standard error with
            its reason and what to do about it.

            Exit status: 0 done, 1 refused by the daemon, 2 wrong usage or no daemon.
            """,
        subcommands: [
            CallCommand.self, MethodsCommand.self, StatusCommand.self, TopologyCommand.self, SessionsCommand.self,
            ObjectsCommand.self, TranslateCommand.self, EventsCommand.self, StateCommand.self,
            VSMMUCommand.self, DemoCommand.self,
        ]
    )

    @OptionGroup var options: GlobalOptions

    /// Runs the command line and exits with 0, 1 or 2.
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        let arguments = Array(CommandLine.arguments.dropFirst())
        do {
            var command = try parseAsRoot(GlobalOptions.movedToTheEnd(arguments))
            try command.run()
        } catch {
            Glibc.exit(status(reporting: error, asJSON: arguments.contains("--json")))
        }
    }

    /// Says what went wrong, if anything did, and chooses the exit status.
    private static func status(reporting error: any Error, asJSON: Bool) -> Int32 {
        switch error {
        case let failure as Failure:
            failure.report(asJSON: asJSON)
            return failure.exitStatus
        case _ where exitCode(for: error) == .success:
            StandardOutput.write(fullMessage(for: error) + "\n")
            return 0
        default:
            StandardOutput.writeError(fullMessage(for: error) + "\n")
            return Failure.usageStatus
        }
    }
}
