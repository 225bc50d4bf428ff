import Glibc
import JSONRPC
import LinuxIO

/// Why a command could not do its work.
enum Failure: Error {
    /// The daemon refused a request.
    case refused(RPCError, method: String)
    /// There is no daemon, or it went away.
    case unreachable(String, hint: String)
    /// The command line or its input cannot be used.
    case usage(String)
    /// The command itself found something wrong, and has said so already.
    case found
    /// As ``found``, of what cannot be used.
    case unusable
    /// A program cannot be started; the errno.
    case notStarted(String, Int32)

    var exitStatus: ExitStatus {
        switch self {
        case .refused, .found: .refused
        case .unreachable, .usage, .unusable: .unusable
        case .notStarted(_, let errno): errno == ENOENT ? .notFound : .notRunnable
        }
    }

    /// Says it on standard error.
    ///
    /// - Parameter place: where in a script it was.
    func report(asJSON: Bool, at place: String = "") {
        switch self {
        case .refused(let error, let method):
            asJSON ? StandardOutput.writeError(Self.json(error).text + "\n") : Self.explain(error, method, place)
        case .unreachable(let problem, let hint):
            Self.write(place + problem, [("hint", hint)])
        case .usage(let problem):
            Self.write(place + problem, [])
        case .notStarted(let program, let errno):
            Self.write("\(place)\(program) cannot be started: \(String(cString: strerror(errno)))", [])
        case .found, .unusable:
            break
        }
    }

    private static func explain(_ error: RPCError, _ method: String, _ place: String) {
        let message = Printable.text(error.message)
        let details = error.details.filter { $0.key != "method" && $0.value != .null }
        let objects = details.map { " \($0.key)=\(Printable.text(Table.cell($0.value)))" }.joined()
        var lines = [("reason", "\(error.reason) (\(name(of: error)))\(objects)")]
        if let hint = error.hint { lines.append(("hint", Printable.text(hint))) }
        write(place + (message.hasPrefix(method) ? message : "\(method): \(message)"), lines)
    }

    /// The problem and what belongs to it; a terminal gets lines that fit, and colours.
    private static func write(_ problem: String, _ lines: [(title: String, text: String)]) {
        let terminal = Terminal.error
        let name = "iommuctl: "
        var text = terminal.paint(name, .alarm)
        text += Wrapping.indented(problem, by: terminal.isThere ? name.count : 0, width: terminal.width) + "\n"
        for line in lines {
            let title = line.title + ": "
            text += terminal.paint(title, line.title == "hint" ? .green : .dim)
            text += Wrapping.indented(line.text, by: title.count, width: terminal.width) + "\n"
        }
        StandardOutput.writeError(text)
    }

    private static func json(_ error: RPCError) -> JSONValue {
        var members = [
            JSONValue.Member(key: "code", value: .integer(error.code)),
            .init(key: "message", value: .string(error.message)),
            .init(key: "errno", value: .string(name(of: error))), .init(key: "reason", value: .string(error.reason)),
        ]
        if let hint = error.hint { members.append(.init(key: "hint", value: .string(hint))) }
        return .object(members + error.details)
    }

    private static func name(of error: RPCError) -> String {
        Errno.name(of: error.errno)
    }
}
