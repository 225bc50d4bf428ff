import ArgumentParser
import JSONRPC

/// `iommuctl vsmmu …`
struct VSMMUCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vsmmu", abstract: "Work with bare SMMUv3 models.",
        subcommands: [ShowVSMMUCommand.self, ReplayCommand.self])
}

/// `iommuctl vsmmu show VSMMU`
struct ShowVSMMUCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Look into a bare SMMU: registers, caches, stalled transactions, the last commands and events.")

    @OptionGroup var options: GlobalOptions

    @OptionGroup var session: SessionOption

    @Option(help: "Commands, events and translations shown at most.")
    var limit = 20

    @Argument(help: "Its id.")
    var vsmmu: UInt32

    func run(on daemon: Daemon) throws {
        try session.enter(daemon, create: false)
        let id = JSONValue.integer(Int(vsmmu))
        let many = JSONValue.integer(limit)
        let members = try [
            ("registers", daemon.call("smmu.registers", ["vsmmu": id])["registers"]),
            ("cache", daemon.call("smmu.cache", ["vsmmu": id, "limit": many])),
            ("stalls", daemon.call("vsmmu.stalls", ["vsmmu": id])["stalls"]),
            ("commands", daemon.call("smmu.commands", ["vsmmu": id, "limit": many])["commands"]),
            ("events", daemon.call("smmu.events", ["vsmmu": id, "limit": many])["events"]),
        ]
        options.output.show(.object(members.map { .init(key: $0.0, value: $0.1 ?? .null) }), as: Self.text)
    }

    /// One section after the other, without those that are empty.
    private static func text(_ found: JSONValue) -> String {
        var text = "REGISTERS\n" + ValueText.describe(found["registers"] ?? .null)
        let lists = [
            ("TRANSLATIONS", found["cache"]?["translations"]), ("STALLED", found["stalls"]),
            ("COMMANDS", found["commands"]), ("EVENTS", found["events"]),
        ]
        for (title, list) in lists {
            if let list, list.arrayValue?.isEmpty == false {
                text += "\n\(title)\n" + (ValueText.table(of: list) ?? "")
            }
        }
        return text
    }
}

/// `iommuctl vsmmu replay FILE`
struct ReplayCommand: DaemonCommand {
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

    func run(on daemon: Daemon) throws {
        let recording = try Recording(path: file)
        let machine = try GuestMachine(daemon: daemon, recording: recording)
        var count = 0
        var differences = 0
        var progress = Progress("transactions", of: recording.states.reduce(0) { $0 + $1.transactions.count })
        for state in recording.states {
            try machine.run(state, recording.identification) { smmu throws(Failure) in
                for transaction in state.transactions {
                    let outcome = try smmu.translate(transaction)
                    count += 1
                    progress.show(count)
                    guard outcome != transaction.outcome else { continue }
                    differences += 1
                    progress.end()
                    show(transaction, outcome)
                }
            }
        }
        progress.end()
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
