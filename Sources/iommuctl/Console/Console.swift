import ArgumentParser

/// One connection on which commands run, one after the other.
struct Console {
    let daemon: Daemon
    /// Options that hold for every command.
    private let options: [String]
    private let isJSON: Bool

    init(_ options: GlobalOptions, _ session: SessionOption) throws(Failure) {
        daemon = try options.connect()
        try session.enter(daemon, create: true)
        daemon.isShared = true
        self.options = (options.json ? ["--json"] : []) + (options.table ? ["--table"] : [])
        isJSON = options.json
    }

    /// Runs what a line says.
    ///
    /// - Parameter place: where it stands.
    func run(_ line: String, at place: String = "") -> ExitStatus {
        do {
            let words = try ShellWords.split(line) { name throws(Failure) in
                guard let value = daemon.answers[name] else {
                    let hint = Suggestion.text(for: name, among: daemon.answers.keys.sorted())
                    throw .usage("no answer has had a “\(name)” yet" + (hint ?? ""))
                }
                return value
            }
            guard let first = words.first else { return .done }
            guard !["shell", "script", "exec"].contains(first) else {
                throw Failure.usage("“\(first)” belongs on a command line of its own")
            }
            try Iommuctl.run(options + words, on: daemon)
            return .done
        } catch {
            return Iommuctl.report(error, asJSON: isJSON, at: place)
        }
    }
}
