import IOMMU
import JSONRPC
import LinuxIO

/// Refusals that come together, because one helper below the methods makes them: whoever declares a method that uses
/// the helper names the group.
struct Refusals: Sendable {
    private let list: [(errno: Errno, reason: Reason, doc: String)]

    /// - Parameter doc: when it comes, as one sentence for clients.
    init(_ errno: Errno, _ reason: Reason, _ doc: String) { list = [(errno, reason, doc)] }

    init(_ groups: Refusals...) { list = groups.flatMap(\.list) }

    fileprivate func declare(on method: MethodBuilder) {
        for refusal in list { method.refuses(refusal.errno.rawValue, refusal.reason.slug, refusal.doc) }
    }
}

extension MethodBuilder {
    /// What the call can be refused with, besides what follows from its parameters, descriptors and role.
    func refuses(_ groups: Refusals...) {
        for group in groups { group.declare(on: self) }
    }

    /// A refusal of this method alone.
    func refuses(_ errno: Errno, _ reason: Reason, _ doc: String) { refuses(Refusals(errno, reason, doc)) }
}

// MARK: - Ids

extension Refusals {
    private static func unknown(_ reason: Reason, _ what: String) -> Refusals {
        Refusals(.ENOENT, reason, "The session has no \(what) with that id.")
    }

    static let unknownObject = unknown(.unknownObject, "object of the iommufd id space")
    static let unknownIOAS = unknown(.unknownIOAS, "IOAS")
    static let unknownHWPT = unknown(.unknownHWPT, "hwpt")
    static let unknownFault = unknown(.unknownFault, "fault queue")
    static let unknownVIOMMU = unknown(.unknownVIOMMU, "viommu")
    static let unknownVEventQ = unknown(.unknownVEventQ, "virtual event queue")
    static let unknownMemory = unknown(.unknownMemory, "memory object")
    static let unknownMM = unknown(.unknownMM, "address space")
    static let unknownBond = unknown(.unknownBond, "bond")
    static let unknownQueue = unknown(.unknownQueue, "queue")
    static let unknownVSMMU = unknown(.unknownVSMMU, "bare SMMU")
    /// A device object, plugged in or not.
    static let unknownDevice = unknown(.unknownDevice, "device")
    /// A device object that is to work.
    static let device = Refusals(
        unknownDevice, Refusals(.ENODEV, .deviceRemoved, "The device has been unplugged; only device.unbind is left."))
    static let deviceName = Refusals(.ENODEV, .unknownDevice, "There is no device of that name.")
    static let smmuName = Refusals(.ENOENT, .unknownSMMU, "There is no SMMU of that name.")
}

// MARK: - Sessions and limits

extension Refusals {
    /// Something new that the session would hold.
    static let room = Refusals(.EDQUOT, .quotaExceeded, "A limit of the session or its user is reached; `data.limit`.")
    /// The call may wait, for as long as the daemon runs.
    static let stopping = Refusals(
        .ECANCELED, .daemonStopping, "The daemon stopped before what the call waited for happened.")
    static let sessionEnds = Refusals(.ECANCELED, .sessionClosed, "The session was closed while the call waited.")
    static let descriptors = Refusals(.EMFILE, .noDescriptors, "The daemon has no descriptor left.")
    /// What a named session has is to outlive the daemon.
    static let stored = Refusals(
        .EIO, .descriptorNotStored, "In a named session: the service manager does not take the descriptor.")
    static let noView = Refusals(.EPERM, .notAllowed, "No device of this session is behind it.")
}
