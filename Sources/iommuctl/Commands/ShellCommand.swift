import ArgumentParser
import Glibc

/// `iommuctl shell`
struct ShellCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shell",
        abstract: "Type commands on one connection, with history and completion.",
        discussion: """
            Tab completes commands, methods, parameters, devices and sessions; up and down go through what was typed \
            before. $NAME is what the last answer had there, as in scripts. exit, quit and Ctrl-D end it.
            """)

    @OptionGroup var options: GlobalOptions
    @OptionGroup var session: SessionOption

    func run() throws {
        let console = try Console(options, session)
        guard isatty(STDIN_FILENO) != 0, isatty(STDOUT_FILENO) != 0 else {
            var lines = try InputLines(nil)
            let status = try ScriptCommand.run(&lines, on: console, keepGoing: false)
            if status != .done { throw status == .refused ? Failure.found : Failure.unusable }
            return
        }
        let daemon = console.daemon
        var editor = LineEditor(history: .ofUser()) { Completion(daemon).candidates(for: "iommuctl " + $0) }
        while let line = editor.read(prompt: (daemon.session ?? "iommud") + "> ") {
            let words = ShellWords.unfinished(line).words
            if words == ["exit"] || words == ["quit"] { return }
            _ = console.run(line)
        }
    }
}
