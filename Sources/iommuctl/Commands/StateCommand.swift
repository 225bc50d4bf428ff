import ArgumentParser
import JSONRPC

/// `iommuctl state discard`
struct StateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state", abstract: "What outlives the daemon.", subcommands: [Discard.self])

    @OptionGroup var options: GlobalOptions

    /// Gives it up.
    struct Discard: DaemonCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give up all named sessions that were stored and cannot be read.",
            discussion: "For administrators. The journal is put aside, not deleted; the daemon serves from then on.")

        @OptionGroup var options: GlobalOptions

        func run(on daemon: Daemon) throws { options.output.show(try daemon.call("state.discard")) }
    }
}
