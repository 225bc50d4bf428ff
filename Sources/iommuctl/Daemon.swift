import Glibc
import JSONRPC
import LinuxIO

/// A connection to the daemon whose failures are ones a person can read.
final class Daemon {
    private let client: RPCClient
    /// The path that answered.
    let path: String

    /// Whether several commands use this connection, one after the other.
    var isShared = false
    /// The named session that was entered last.
    private(set) var session: String?

    /// What the last calls have answered, by the names of the results; for scripts.
    private(set) var answers: [String: String] = [:]

    private let patience: Patience
    private var found: Catalog?

    /// Connects to the first path that answers.
    ///
    /// - Parameter isVerbose: whether to show what is sent and received.
    init(candidates: [String], patience: Patience, isVerbose: Bool = false) throws(Failure) {
        self.patience = patience
        var problems: [SystemError] = []
        for path in candidates {
            do throws(SystemError) {
                client = try RPCClient(path: path, timeoutMilliseconds: patience.milliseconds)
                self.path = path
                client.insistsOnIDs = true
                if isVerbose { showTraffic() }
                if patience.asksFirst {
                    client.onSilence = { Self.isThere(path, milliseconds: patience.milliseconds) }
                }
                return
            } catch {
                problems.append(error)
            }
        }
        throw .unreachable(
            "no daemon answers: " + problems.map(\.description).joined(separator: "; "), hint: Self.hint(problems))
    }

    private func showTraffic() {
        client.onSend = { Traffic.show("→", $0) }
        client.onLine = { Traffic.show("←", String(decoding: $0, as: UTF8.self)) }
    }

    /// What the daemon declares; asked for once.
    func catalog() throws(Failure) -> Catalog {
        if let found { return found }
        let catalog = Catalog(document: try call("rpc.discover"))
        found = catalog
        return catalog
    }

    /// What to do about the failure that says most.
    private static func hint(_ problems: [SystemError]) -> String {
        let errnos = Set(problems.map(\.errno))
        if errnos.contains(EACCES) {
            return "this user may not use that socket; ask who administers it, or name another with --socket"
        }
        if errnos.contains(ETIMEDOUT) {
            return "somebody has that socket but accepts nobody; its log says why (journalctl -u iommud)"
        }
        if errnos == [ENAMETOOLONG] { return "the path of a socket has at most \(UnixListener.longestPath) bytes" }
        return "start one with `systemctl start iommud` or `iommud`, or name its socket with --socket"
    }

    /// Whether a daemon answers something simple.
    private static func isThere(_ path: String, milliseconds: Int) -> Bool {
        (try? RPCClient(path: path, timeoutMilliseconds: milliseconds).call("daemon.info")) != nil
    }

    /// Calls a method and waits for its result.
    ///
    /// - Parameter descriptors: sent along; they stay the caller's.
    func call(_ method: String, _ params: JSONValue, descriptors: [Int32] = []) throws(Failure) -> JSONValue {
        do {
            return try client.call(method, params, descriptors: descriptors)
        } catch {
            throw failure(error, method)
        }
    }

    /// Calls a method with the parameters that are not nil.
    func call(
        _ method: String, _ params: KeyValuePairs<String, JSONValue?> = [:], descriptors: [Int32] = []
    ) throws(Failure) -> JSONValue {
        let members = params.compactMap { pair in pair.value.map { JSONValue.Member(key: pair.key, value: $0) } }
        return try call(method, .object(members), descriptors: descriptors)
    }

    /// Waits for the next notification.
    func nextNotification() throws(Failure) -> JSONValue {
        do {
            if patience.asksFirst { client.onSilence = { true } }
            return try client.nextNotification()
        } catch {
            throw failure(error, "events")
        }
    }

    /// The notifications that have come with replies.
    func notifications() -> [JSONValue] { client.takeNotifications() }

    /// Keeps what a method has answered for the words `$name` of later commands.
    func remember(_ result: JSONValue) {
        for member in result.objectValue ?? [] where member.value.objectValue == nil && member.value.arrayValue == nil {
            answers[member.key] = Table.cell(member.value)
        }
    }

    /// What came with replies, for whoever goes on with it.
    func takeDescriptors() -> [SharedDescriptor] { client.takeDescriptors() }

    /// Closes what came with replies; returns how many that were.
    func dropDescriptors() -> Int {
        client.takeDescriptors().count
    }

    /// Makes a named session this connection's.
    ///
    /// - Parameter create: whether to make it if it is not there.
    func enter(session name: String, create: Bool = true) throws(Failure) {
        _ = try call("session.attach", ["name": .string(name), "create": .bool(create)])
        session = name
    }

    /// The connection has left its session for this one; nil: for a private one.
    func moved(to session: String?) { self.session = session }

    private func failure(_ error: any Error, _ method: String) -> Failure {
        switch error {
        case let refusal as RPCError where refusal.reason != RPCError.unknownReason:
            return .refused(refusal, method: method)
        case is RPCError, is JSONSyntaxError, is UnexpectedAnswer:
            return .unreachable(
                "\(method): what answers on \(path) is not iommud: \(error)", hint: "name its socket with --socket")
        case let error as SystemError where error.errno == ETIMEDOUT:
            return .unreachable(
                "\(method): \(path) does not answer within \(patience.text)",
                hint: "it may hang, or not be iommud; iommud's log says more (journalctl -u iommud)")
        default:
            return .unreachable(
                "\(method): \(error)", hint: "the daemon may have ended; its log says why (journalctl -u iommud)")
        }
    }
}

/// How long to wait for a daemon.
struct Patience {
    /// At each step; 0: for ever.
    let milliseconds: Int
    /// Whether to ask if anybody is there before giving up; as long is waited for the answer to that.
    let asksFirst: Bool

    private static let standard = 10.0

    /// - Parameter seconds: nil: the standard ones.
    init(seconds: Double?) {
        asksFirst = seconds == nil
        let step = seconds ?? Self.standard / 2
        milliseconds = step == 0 ? 0 : max(1, Int(step * 1000))
    }

    /// Until it is given up.
    var text: String {
        let seconds = Double(asksFirst ? 2 * milliseconds : milliseconds) / 1000
        return seconds == seconds.rounded() ? "\(Int(seconds)) s" : "\(seconds) s"
    }
}

/// Lines between this program and the daemon, for whoever wants to see them.
private enum Traffic {
    /// Longer lines are shown in part.
    private static let longest = 4096

    static func show(_ direction: String, _ line: String) {
        let terminal = Terminal.error
        let rest = line.utf8.count - longest
        let text = rest > 0 ? "\(String(line.prefix(longest)))… and \(rest) bytes more" : line
        StandardOutput.writeError(terminal.paint(direction, .cyan) + " " + Printable.text(text) + "\n")
    }
}
