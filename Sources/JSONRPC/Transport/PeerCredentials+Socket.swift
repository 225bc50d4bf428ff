import CLinux
import Glibc

extension PeerCredentials {
    /// Supplementary groups looked at; who is in more is known by the first ones.
    private static let maximumGroups = 1024

    /// The credentials of whoever connected a Unix socket, as they were at that moment.
    init?(of socket: Int32) {
        var peer = clinux_peer()
        guard clinux_peer_credentials(socket, &peer) == 0 else { return nil }
        var groups = [UInt32](repeating: 0, count: Self.maximumGroups)
        let count = clinux_peer_groups(socket, &groups, Int32(groups.count))
        self.init(pid: peer.pid, uid: peer.uid, gid: peer.gid, groups: Array(groups.prefix(max(0, Int(count)))))
    }
}
