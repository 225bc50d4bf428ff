import CLinux
import Glibc

/// A program of this one's own in a process that can be abandoned: it has one socket, one shared file, and no other
/// descriptors, no environment, and a process group of its own.
public struct HelperProgram: ~Copyable {
    /// Becomes readable when it has ended (a pidfd).
    public let end: Descriptor

    /// Starts it.
    ///
    /// - Parameters:
    ///   - program: its file; `/proc/self/exe` is the one that runs.
    ///   - first: its first argument.
    ///   - second: its second one; there are no others.
    ///   - socket: what it has as descriptor ``socketNumber``.
    ///   - file: what it has as descriptor ``fileNumber``.
    public init(
        _ program: String, _ first: String, _ second: String, socket: borrowing Descriptor, file: borrowing Descriptor
    ) throws(SystemError) {
        let pid = try SystemError.check(
            clinux_start_helper(program, first, second, socket.number, file.number), "start \(program)")
        let pidfd = clinux_pidfd_open(pid)
        guard pidfd >= 0 else {
            // Nobody else takes its status, so the number is still its own. Its socket closes: it ends by itself.
            Glibc.kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            throw SystemError(errno: -pidfd, "pidfd_open")
        }
        end = Descriptor(adopting: pidfd)
    }

    /// Has the kernel end it; where it waits for what never comes, that is when it comes.
    public func kill() { _ = clinux_pidfd_kill(end.number) }

    /// Takes its exit status. - Returns: whether it has ended.
    public func reap() -> Bool { clinux_pidfd_reap(end.number) != 0 }

    // MARK: From within

    /// The descriptor of its socket.
    public static let socketNumber = Int32(CLINUX_HELPER_SOCKET)
    /// The descriptor of its file.
    public static let fileNumber = Int32(CLINUX_HELPER_BUFFER)

    /// This process ends when the thread that started it does.
    public static func dieWithParent() { _ = clinux_die_with_parent() }

    /// What `/proc/PID/comm` says of this process; 15 bytes of it.
    public static func name(_ name: String) { _ = clinux_set_name(name) }
}
