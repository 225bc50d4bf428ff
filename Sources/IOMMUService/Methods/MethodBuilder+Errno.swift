import IOMMU
import JSONRPC
import LinuxIO

extension MethodBuilder {
    /// A refusal that clients should know of.
    func refuses(_ errno: Errno, _ reason: Reason, _ doc: String) { refuses(errno.rawValue, reason.slug, doc) }

    /// The id in `parameter` names nothing of that kind in this session.
    func refusesUnknown(_ parameter: String, _ reason: Reason) {
        refuses(.ENOENT, reason, "`\(parameter)` names no such object of this session.")
    }

    /// The call may wait, for as long as the daemon runs.
    func refusesWhenStopping() {
        refuses(.ECANCELED, .daemonStopping, "The daemon stopped before what the call waited for happened.")
    }
}
