import ArgumentParser
import JSONRPC

/// `iommuctl vsmmu …`
struct VSMMUCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vsmmu", abstract: "Work with bare SMMUv3 models.", subcommands: [ReplayCommand.self])
}

/// `iommuctl vsmmu replay FILE`
struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Run recorded transactions on an SMMUv3 of the daemon and show where it ends differently.",
        discussion: """
            FILE is JSON, packed with gzip or not: ID registers, registers, sparse memory, and transactions with what
            came of each. Every state is set up in memory that this program shares with the daemon, on a fresh SMMU.

            Exit status: 0 no difference, 1 differences.
            """)

    @OptionGroup var options: GlobalOptions

    @Argument(help: "The recording.", completion: .file())
    var file: String

    func run() throws {
        let recording = try Recording(path: file)
        let daemon = try options.connect()
        let machine = try GuestMachine(daemon: daemon, recording: recording)
        var count = 0
        var differences = 0
        for state in recording.states {
            try machine.run(state, recording.identification) { smmu throws(Failure) in
                for transaction in state.transactions {
                    let outcome = try smmu.translate(transaction)
                    count += 1
                    guard outcome != transaction.outcome else { continue }
                    differences += 1
                    show(transaction, outcome)
                }
            }
        }
        showSummary(count, differences)
        if differences > 0 { throw Failure.found }
    }

    private func show(_ transaction: Recording.Transaction, _ outcome: Outcome) {
        let difference = JSONValue.object([
            .init(key: "transaction", value: .string(transaction.description)),
            .init(key: "recorded", value: .string(transaction.outcome.description)),
            .init(key: "got", value: .string(outcome.description)),
        ])
        options.output.show(difference) { _ in
            Printable.text(transaction.description) + "\n"
                + "  recorded  \(Printable.text(transaction.outcome.description))\n"
                + "  got       \(outcome.description)\n"
        }
    }

    private func showSummary(_ count: Int, _ differences: Int) {
        let summary = JSONValue.object([
            .init(key: "transactions", value: .integer(count)), .init(key: "differences", value: .integer(differences)),
        ])
        options.output.show(summary) { _ in "\(count) transactions, \(differences) differences\n" }
    }
}
