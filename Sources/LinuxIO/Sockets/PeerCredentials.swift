import CLinux
import Glibc

/// Who is at the other end of a connection, as the kernel vouches for it.
public struct PeerCredentials: Equatable, Sendable {
    /// Process id at the time of connecting; may since be another process's. 0 if it is not visible from here.
    public let pid: Int32
    /// User id.
    public let uid: UInt32
    /// Group id.
    public let gid: UInt32
    /// Supplementary groups, where the kernel tells them.
    public let groups: [UInt32]

    /// Credentials.
    public init(pid: Int32, uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }

    /// The credentials of whoever connected a Unix socket, as they were at that moment; `nil` where the kernel tells
    /// none (SO_PEERCRED).
    public init?(of socket: Int32) {
        var peer = clinux_peer()
        guard clinux_peer_credentials(socket, &peer) == 0 else { return nil }
        self.init(pid: peer.pid, uid: peer.uid, gid: peer.gid, groups: Self.groups(of: socket))
    }

    /// None where the kernel does not tell them.
    private static func groups(of socket: Int32) -> [UInt32] {
        // Room for nearly everybody's, then for as many as there can be (NGROUPS_MAX): the kernel tells all or none.
        for room in [64, 65_536] {
            var result: Int32 = 0
            let groups = [UInt32](unsafeUninitializedCapacity: room) { buffer, count in
                result = clinux_peer_groups(socket, buffer.baseAddress, Int32(room))
                count = max(0, Int(result))
            }
            guard result == -ERANGE else { return groups }
        }
        return []
    }
}
