import Glibc
import IOMMU

/// Who counts as an administrator: uid 0, the daemon's own user and the members of a group.
package struct Administrators: Sendable {
    /// The group whose members may do everything.
    package static let groupName = "iommud-admin"

    private let daemonUID: UInt32
    private let groupID: UInt32?

    /// Administrators of a daemon of this user; without a group where the machine has none of that name.
    package init(daemonUID: UInt32, groupID: UInt32?) {
        self.daemonUID = daemonUID
        self.groupID = groupID
    }

    /// As this process and the group database say now.
    package static func current() -> Administrators {
        Administrators(daemonUID: geteuid(), groupID: UserDatabase.gid(ofGroup: groupName))
    }

    /// What the kernel says about a peer, with its role.
    package func peer(uid: UInt32, gid: UInt32, pid: Int32, groups: [UInt32]) -> Peer {
        let isMember = groupID.map { $0 == gid || groups.contains($0) } ?? false
        let isAdmin = uid == 0 || uid == daemonUID || isMember
        return Peer(identity: ClientIdentity(uid: uid, gid: gid, pid: pid, isAdmin: isAdmin), groups: groups)
    }
}
