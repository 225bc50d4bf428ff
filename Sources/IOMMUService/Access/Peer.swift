import IOMMU

/// The client at the other end of a connection, as the kernel vouches for it.
package struct Peer: Sendable, Equatable {
    /// User, primary group, process and role.
    package var identity: ClientIdentity
    /// Supplementary groups (`SO_PEERGROUPS`).
    package var groups: [UInt32]

    /// A peer with its supplementary groups.
    package init(identity: ClientIdentity, groups: [UInt32] = []) {
        self.identity = identity
        self.groups = groups
    }
}

extension Peer {
    /// `EPERM` `not_allowed` unless the client is an administrator.
    ///
    /// - Parameter action: what was asked for, as the middle of a sentence: "add a device".
    package func requireAdmin(to action: String) throws(IOMMUError) {
        guard !identity.isAdmin else { return }
        throw IOMMUError(
            .EPERM, .notAllowed, "only an administrator may \(action), and user \(identity.uid) is none",
            hint: "call as root, as the daemon's own user, or as a member of the group \(Administrators.groupName)",
            ["uid": .number(UInt64(identity.uid))]
        )
    }
}
