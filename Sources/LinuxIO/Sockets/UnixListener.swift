import CLinux
import Glibc

/// A listening Unix stream socket.
public final class UnixListener {
    private var socket: Descriptor?
    /// The socket, non-blocking; -1 once it is shut down.
    public var descriptor: Int32 { socket?.number ?? -1 }
    /// Where it is bound; `nil` for one that was passed in.
    public let path: String?
    private var identity: (device: UInt64, inode: UInt64)?

    /// Takes over a listening stream socket that somebody else made (socket activation); it may be of another family.
    public init(adopting socket: consuming Descriptor) throws(SystemError) {
        let number = socket.number
        self.socket = consume socket
        path = nil
        let flags = fcntl(number, F_GETFL)
        guard flags >= 0, fcntl(number, F_SETFL, flags | O_NONBLOCK) == 0 else {
            throw .current("fcntl on the passed socket")
        }
        _ = fcntl(number, F_SETFD, FD_CLOEXEC)
    }

    /// Binds and listens. A socket file on which nobody answers any more is replaced.
    ///
    /// - Parameters:
    ///   - mode: Permissions of the socket file, before the umask.
    ///   - privateDirectory: Make the directory (mode 0700) if it is missing, and insist that it is ours alone.
    public init(path: String, mode: mode_t = 0o666, privateDirectory: Bool = false) throws(SystemError) {
        let directory = Self.directory(of: path)
        if privateDirectory { try Self.ensurePrivate(directory) }
        let made = try Descriptor(opened: clinux_unix_socket(true), "socket")
        let number = made.number
        socket = consume made
        self.path = path
        // Whoever starts at the same moment must not take our fresh socket for a stale one.
        let lock = try Descriptor(opening: directory, O_RDONLY | O_DIRECTORY)
        Self.lockBriefly(lock.number)
        _ = fchmod(number, mode)
        try Self.bind(number, path)
        guard listen(number, SOMAXCONN) == 0 else { throw SystemError.current("listen on \(path)") }
        identity = Self.identity(of: path)
        // Locked until here.
        _ = consume lock
    }

    deinit { shutDown() }

    /// Stops listening and removes the socket file, if it is still this one.
    public func shutDown() {
        guard socket != nil else { return }
        socket = nil
        guard let path, let identity, let now = Self.identity(of: path), now == identity else { return }
        _ = unlink(path)
    }

    /// Anybody who can read the directory could hold the lock for ever: after a second it is done without.
    private static func lockBriefly(_ directory: Int32) {
        for _ in 0..<100 {
            guard flock(directory, LOCK_EX | LOCK_NB) != 0 else { return }
            usleep(10_000)
        }
    }

    /// Whether this process could make a socket there, without making one: its name is short enough, and its directory
    /// is there to be written to.
    public static func check(path: String) throws(SystemError) {
        guard path.utf8.count <= longestPath else { throw SystemError(errno: ENAMETOOLONG, "bind \(path)") }
        guard faccessat(AT_FDCWD, directory(of: path), W_OK | X_OK, Int32(AT_EACCESS)) == 0 else {
            throw .current("bind \(path)")
        }
    }

    /// Bytes of the longest path of a socket: `sun_path` without its zero.
    public static let longestPath = 107

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func ensurePrivate(_ directory: String) throws(SystemError) {
        guard mkdir(directory, 0o700) != 0 else { return }
        guard errno == EEXIST else { throw .current("mkdir \(directory)") }
        var status = stat()
        guard lstat(directory, &status) == 0 else { throw .current("stat \(directory)") }
        guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
            throw SystemError(errno: EPERM, "\(directory) is not a directory that only this user can write to")
        }
    }

    private static func bind(_ socket: Int32, _ path: String) throws(SystemError) {
        var result = clinux_unix_bind(socket, path)
        if result == -EADDRINUSE, isStale(path) {
            _ = unlink(path)
            result = clinux_unix_bind(socket, path)
        }
        let server = result == -EADDRINUSE ? server(of: path) : nil
        try SystemError.check(result, "bind \(path)" + (server.map { ", which \($0) serves" } ?? ""))
    }

    /// Who listens on a socket: `process 12 (iommud)`; nil where it cannot be known.
    private static func server(of path: String) -> String? {
        guard let probe = try? Descriptor(opened: clinux_unix_socket(true), "socket"),
            clinux_unix_connect(probe.number, path) == 0, let peer = PeerCredentials(of: probe.number), peer.pid > 0
        else { return nil }
        return "process \(peer.pid)" + (SmallFile.program(ofProcess: peer.pid).map { " (\($0))" } ?? "")
    }

    /// Whether the path is a socket on which nobody answers.
    private static func isStale(_ path: String) -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return false }
        guard let probe = try? Descriptor(opened: clinux_unix_socket(true), "socket") else { return false }
        return clinux_unix_connect(probe.number, path) == -ECONNREFUSED
    }

    private static func identity(of path: String) -> (device: UInt64, inode: UInt64)? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return (UInt64(status.st_dev), UInt64(status.st_ino))
    }
}
