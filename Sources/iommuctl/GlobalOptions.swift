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

    /// Connects to the daemon.
    func connect() throws(Failure) -> Daemon {
        if let timeout, !(0...86_400).contains(timeout) {
            throw .usage("\(timeout) is no time to wait; write seconds from 0, which is for ever, to 86400")
        }
        return try Daemon(candidates: SocketPath.candidates(socket), patience: Patience(seconds: timeout))
    }

    /// How results are to be shown.
    var output: Output {
        json || (!table && isatty(STDOUT_FILENO) == 0) ? .json : .table
    }

    /// The arguments with the options that stand before the command's name moved behind its own.
    ///
    /// The parser would take them for options of the root command, which nobody reads.
    static func movedToTheEnd(_ arguments: [String]) -> [String] {
        var moved: [String] = []
        var rest = arguments[...]
        while let first = rest.first, first.hasPrefix("--") {
            let isWhole = first.hasPrefix("--socket=") || first.hasPrefix("--timeout=")
            if first == "--json" || first == "--table" || isWhole {
                moved.append(rest.removeFirst())
            } else if first == "--socket" || first == "--timeout", rest.count > 1 {
                moved += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else {
                break
            }
        }
        guard !rest.isEmpty else { return arguments }
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        return Array(rest[..<end]) + moved + Array(rest[end...])
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
        if let path = environment("IOMMUD_SOCKET") { return [path] }
        var paths = ["/run/iommud/iommud.sock"]
        if let directory = environment("XDG_RUNTIME_DIR") { paths.append(directory + "/iommud.sock") }
        return paths + ["/tmp/iommud-\(getuid())/iommud.sock"]
    }

    private static func environment(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
