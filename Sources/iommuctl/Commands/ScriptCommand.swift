import ArgumentParser

/// `iommuctl script [FILE]`
struct ScriptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "script",
        abstract: "Run commands from a file or from standard input, a line each, on one connection.",
        discussion: """
            A line is what could stand behind iommuctl, with the quotes of a shell; # begins a remark. $NAME is what \
            the last answer with a member of that name had there:

              memory create --size 64K --name guest
              ioas alloc
              ioas map --ioas $ioas --memory guest --length 64K --iova 0x10000
              device bind 0000:01:00.0
              device attach --device $device --pt $ioas

            It ends at the first line that fails, and with its exit status.
            """)

    @OptionGroup var options: GlobalOptions
    @OptionGroup var session: SessionOption

    @Flag(help: "Go on behind lines that fail; the exit status is that of the last one that did.")
    var keepGoing = false

    @Argument(help: "The file; without it, or as -, standard input.", completion: .file())
    var file: String?

    func run() throws {
        var lines = try InputLines(file)
        let console = try Console(options, session)
        let status = try Self.run(&lines, on: console, keepGoing: keepGoing)
        if status != .done { throw status == .refused ? Failure.found : Failure.unusable }
    }

    /// Runs all lines; what goes wrong is said at once.
    static func run(_ lines: inout InputLines, on console: Console, keepGoing: Bool) throws(Failure) -> ExitStatus {
        var worst = ExitStatus.done
        var number = 0
        while let line = try lines.next() {
            number += 1
            let status = console.run(line, at: "line \(number): ")
            guard status != .done else { continue }
            worst = status
            if !keepGoing { break }
        }
        return worst
    }
}
