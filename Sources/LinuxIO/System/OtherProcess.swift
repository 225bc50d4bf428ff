import CLinux
import Glibc

/// A process that somebody else has started, by a descriptor that never comes to mean another one (a pidfd).
public final class OtherProcess {
    /// Its number.
    public let pid: Int32
    private let end: Descriptor

    /// The process that has this number now.
    ///
    /// - Throws: `ESRCH` if there is none, `EMFILE`, `ENFILE`.
    public init(pid: Int32) throws(SystemError) {
        self.pid = pid
        end = try Descriptor(opened: clinux_pidfd_open(pid), "pidfd_open")
    }

    /// The process that connected a Unix socket. Before Linux 6.5 it is the one that has its number now.
    ///
    /// - Throws: `ESRCH` if it has ended, or cannot be seen from here; `EMFILE`, `ENFILE`.
    public init(peerOf socket: Int32) throws(SystemError) {
        var pid: Int32 = 0
        end = try Self.pidfd(peerOf: socket, pid: &pid)
        self.pid = pid
    }

    /// A pidfd of the process at the other end of a Unix socket.
    ///
    /// - Parameter pid: becomes its number.
    /// - Throws: as ``init(peerOf:)``.
    public static func pidfd(peerOf socket: Int32, pid: inout Int32) throws(SystemError) -> Descriptor {
        guard let peer = PeerCredentials(of: socket), peer.pid > 0 else {
            throw SystemError(errno: ESRCH, "SO_PEERCRED")
        }
        pid = peer.pid
        let pidfd = clinux_peer_pidfd(socket)
        return try Descriptor(opened: pidfd == -ENOPROTOOPT ? clinux_pidfd_open(pid) : pidfd, "SO_PEERPIDFD")
    }

    /// The process of a pidfd.
    ///
    /// - Parameter uid: becomes its real user.
    /// - Throws: `EBADF` for another kind of descriptor, `ESRCH` if it has ended, `EPERM` if its user cannot be seen
    ///   from here.
    public init(pidfd: consuming Descriptor, uid: inout UInt32) throws(SystemError) {
        var number: Int32 = 0
        try SystemError.check(clinux_pidfd_identity(pidfd.number, &number, &uid), "look who a pidfd is")
        pid = number
        end = pidfd
    }

    /// The name of its program, at most 15 bytes; nil if it cannot be seen from here.
    public var program: String? { SmallFile.program(ofProcess: pid) }

    /// Sends it a signal; one that has ended gets none.
    ///
    /// - Throws: `ESRCH`, `EPERM`.
    public func send(_ signal: Int32) throws(SystemError) {
        try SystemError.check(clinux_pidfd_signal(end.number, signal), "pidfd_send_signal")
    }

    /// Calls `ended`, perhaps more than once, when it has ended.
    public func watch(by services: any LoopServices, _ ended: @escaping () -> Void) throws(SystemError)
        -> DescriptorWatch
    {
        try services.watch(end, ended)
    }
}
