import IOMMU
import JSONRPC
import LinuxIO

extension MethodBuilder {
    /// A refusal that clients should know of.
    func refuses(_ errno: Errno, _ reason: String, _ doc: String) { refuses(errno.rawValue, reason, doc) }

    /// The id in `parameter` names nothing of that kind in this session.
    func refusesUnknown(_ parameter: String) {
        let kind = ["id", "target"].contains(parameter) ? "object" : parameter
        refuses(.ENOENT, "unknown_\(kind)", "`\(parameter)` names no such object of this session.")
    }

    /// The call may wait, for as long as the daemon runs.
    func refusesWhenStopping() {
        refuses(.ECANCELED, "daemon_stopping", "The daemon stopped before what the call waited for happened.")
    }
}
