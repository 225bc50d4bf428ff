import ArgumentParser

/// `iommuctl complete LINE`: for shells.
struct CompleteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "complete",
        abstract: "Print what could come next on a command line, a word and a remark a line.",
        shouldDisplay: false)

    @Argument(help: "The line up to the cursor.", completion: .none)
    var line: String

    func run() throws {
        let words = Array(ShellWords.unfinished(line).words.dropFirst())
        let options = try? VerbOptions.parse(CallOptions.words.all(words).options)
        let paths = SocketPath.candidates(options?.options.socket)
        // Somebody waits at a prompt.
        let daemon = try? Daemon(candidates: paths, patience: Patience(seconds: 1))
        if let daemon, let session = options?.call.session.wanted ?? SessionOption.ofEnvironment {
            try? daemon.enter(session: session, create: false)
        }
        for candidate in Completion(daemon).candidates(for: line) {
            StandardOutput.write("\(Printable.text(candidate.text))\t\(Printable.text(candidate.summary))\n")
        }
    }
}
