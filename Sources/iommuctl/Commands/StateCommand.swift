import ArgumentParser
import JSONRPC

/// `iommuctl state discard`
struct StateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state", abstract: "What outlives the daemon.", subcommands: [Discard.self])

    @OptionGroup var options: GlobalOptions

    /// Gives it up.
    struct Discard: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give up all named sessions that were stored and cannot be read.",
            discussion: "For administrators. The journal is put aside, not deleted; the daemon serves from then on.")

        @OptionGroup var options: GlobalOptions

        func run() throws { options.output.show(try options.connect().call("state.discard")) }
    }
}
