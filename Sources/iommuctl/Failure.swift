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

    static let usageStatus: Int32 = 2

    var exitStatus: Int32 {
        switch self {
        case .refused, .found: 1
        case .unreachable, .usage: Self.usageStatus
        }
    }

    /// Says it on standard error.
    func report(asJSON: Bool) {
        switch self {
        case .refused(let error, let method):
            asJSON ? StandardOutput.writeError(Self.json(error).text + "\n") : Self.explain(error, method)
        case .unreachable(let problem, let hint):
            StandardOutput.writeError("iommuctl: \(problem)\nhint: \(hint)\n")
        case .usage(let problem):
            StandardOutput.writeError("iommuctl: \(problem)\n")
        case .found:
            break
        }
    }

    private static func explain(_ error: RPCError, _ method: String) {
        let message = Printable.text(error.message)
        var text = "iommuctl: " + (message.hasPrefix(method) ? message : "\(method): \(message)") + "\n"
        let details = error.details.filter { $0.key != "method" && $0.value != .null }
        let objects = details.map { " \($0.key)=\(Printable.text(Table.cell($0.value)))" }.joined()
        text += "reason: \(error.reason) (\(name(of: error)))\(objects)\n"
        if let hint = error.hint { text += "hint: \(Printable.text(hint))\n" }
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
