import ArgumentParser
import Glibc

/// Options of every command. They may stand before the command's name as well as after it.
struct GlobalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The daemon's socket.", discussion: SocketPath.help, valueName: "path"))
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "How long to wait for an answer, in seconds; 0: for ever.",
            discussion: """
                Default: 10, after which it is asked whether anybody is there at all; calls that take long or wait for \
                something are waited for.
                """,
            valueName: "seconds"))
    var timeout: Double?

    @Flag(help: "JSON, one value a line, also on a terminal.")
    var json = false

    @Flag(help: "Tables, also in a pipe.")
    var table = false

    @Flag(name: .shortAndLong, help: "Show each line that is sent and received, on standard error.")
    var verbose = false

    /// How long answers are waited for.
    var patience: Patience { Patience(seconds: timeout) }

    /// Connects to the daemon.
    func connect() throws(Failure) -> Daemon {
        if let timeout, !(0...86_400).contains(timeout) {
            throw .usage("\(timeout) is no time to wait; write seconds from 0, which is for ever, to 86400")
        }
        return try Daemon(
            candidates: SocketPath.candidates(socket), patience: patience, isVerbose: verbose)
    }

    /// How results are to be shown.
    var output: Output {
        json || (!table && isatty(STDOUT_FILENO) == 0) ? .json : .table
    }

    /// Those that stand alone, and those with a value.
    static let words = OptionWords(flags: ["--json", "--table", "--verbose", "-v"], valued: ["--socket", "--timeout"])
}

/// Which words of a command line are options.
struct OptionWords {
    var flags: Set<String>
    var valued: Set<String>

    /// How many words the option at the beginning has; 0: there is none.
    private func length(_ words: ArraySlice<String>) -> Int {
        guard let first = words.first else { return 0 }
        if flags.contains(first) { return 1 }
        if valued.contains(first) { return min(2, words.count) }
        guard first.hasPrefix("--"), let name = first.split(separator: "=").first else { return 0 }
        return first.contains("=") && valued.contains(String(name)) ? 1 : 0
    }

    /// The options at the beginning, and the rest.
    func leading(_ words: [String]) -> (options: [String], rest: [String]) {
        var rest = words[...]
        var options: [String] = []
        while case let count = length(rest), count > 0 {
            options += rest.prefix(count)
            rest = rest.dropFirst(count)
        }
        return (options, Array(rest))
    }

    /// All options before `--`, and the rest.
    func all(_ words: [String]) -> (options: [String], rest: [String]) {
        var options: [String] = []
        var rest: [String] = []
        var left = words[...]
        while let first = left.first, first != "--" {
            let count = length(left)
            if count > 0 { options += left.prefix(count) } else { rest.append(first) }
            left = left.dropFirst(max(1, count))
        }
        return (options, rest + left)
    }
}

/// The session that a command works in.
struct SessionOption: ParsableArguments {
    @Option(
        name: .customLong("session"),
        help: ArgumentHelp(
            "Work in this named session, not in a private one. Default: $IOMMUCTL_SESSION.", valueName: "name"))
    var name: String?

    /// The one that is named, else the one of the environment.
    var wanted: String? { name ?? Self.ofEnvironment }

    /// The one to work in where none is named.
    static var ofEnvironment: String? { Environment.value("IOMMUCTL_SESSION") }

    /// Makes it the connection's.
    ///
    /// - Parameter create: whether to make it if it is not there.
    func enter(_ daemon: Daemon, create: Bool) throws(Failure) {
        // A console has entered that of the environment when it began.
        guard let name = daemon.isShared ? name : wanted, daemon.session != name else { return }
        try daemon.enter(session: name, create: create)
    }
}

/// Where the daemon's socket can be.
enum SocketPath {
    static let help = """
        Default: $IOMMUD_SOCKET, else the first that answers of /run/iommud/iommud.sock, \
        $XDG_RUNTIME_DIR/iommud.sock and /tmp/iommud-$UID/iommud.sock.
        """

    /// The paths to try, in order.
    static func candidates(_ option: String?) -> [String] {
        if let option { return [option] }
        if let path = Environment.value("IOMMUD_SOCKET") { return [path] }
        var paths = ["/run/iommud/iommud.sock"]
        if let directory = Environment.value("XDG_RUNTIME_DIR") { paths.append(directory + "/iommud.sock") }
        return paths + ["/tmp/iommud-\(getuid())/iommud.sock"]
    }
}
