import CLinux
import Glibc

extension PeerCredentials {
    /// The credentials of whoever connected a Unix socket, as they were at that moment.
    init?(of socket: Int32) {
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
