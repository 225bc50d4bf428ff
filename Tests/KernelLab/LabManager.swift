import CLinux
import Glibc
import LinuxIO
import ServiceTestSupport
import Synchronization

/// A service manager that keeps descriptors, and starts the daemon again and again: this Linux has no other.
final class LabManager: Sendable {
    static let notifySocket = "/run/notify.sock"
    /// How many of the descriptors from 3 on are from the store.
    static let countVariable = "LAB_LISTEN_FDS"
    private static let capacity = 256
    /// Above what the daemon finds its descriptors at.
    private static let parkedFrom: Int32 = 200

    private let store = Mutex(PlayedStore(capacity: LabManager.capacity))
    private let socket: Descriptor

    /// Takes messages from now on, on a thread of its own.
    init() throws(SystemError) {
        socket = try Descriptor(
            opened: Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0),
            "make a socket")
        guard clinux_unix_bind(socket.number, Self.notifySocket) == 0 else { throw .current("bind") }
        var thread = pthread_t()
        let manager = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let manager = Unmanaged<LabManager>.fromOpaque(argument).takeUnretainedValue()
                while manager.takeNext() {}
                return nil
            }, manager)
        guard code == 0 else { throw SystemError(errno: code, "start a thread") }
    }

    /// Descriptors that are kept.
    var stored: Int { store.withLock { $0.count } }

    private func takeNext() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 8192)
        var descriptors = [Int32](repeating: -1, count: Int(CLINUX_SCM_MAX_FD))
        var ancillary = clinux_ancillary()
        let count = clinux_receive(socket.number, &bytes, bytes.count, &descriptors, &ancillary)
        guard count > 0 else { return false }
        let received = Array(descriptors.prefix(Int(ancillary.fd_count)))
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        store.withLock { _ = $0.take(text, received) }
        for descriptor in received { close(descriptor) }
        return true
    }

    /// Starts the daemon with what is kept. - Returns: its process.
    func start() throws(SystemError) -> pid_t {
        let passed = store.withLock { store in
            store.passed().map { entry in
                defer { close(entry.descriptor) }
                return (entry.name, fcntl(entry.descriptor, F_DUPFD_CLOEXEC, Self.parkedFrom))
            }
        }
        defer { for (_, number) in passed { close(number) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (index, entry) in passed.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, entry.1, Int32(3 + index))
        }
        let variables = [
            "LD_LIBRARY_PATH=/lib", "NOTIFY_SOCKET=\(Self.notifySocket)", "IOMMUD_DESCRIPTOR_STORE=\(Self.capacity)",
            "\(Self.countVariable)=\(passed.count)", "LISTEN_FDS=\(passed.count)",
            "LISTEN_FDNAMES=\(passed.map(\.0).joined(separator: ":"))",
        ]
        var environment = variables.map { strdup($0) } + [nil]
        let words = ["/init", "serve", "durable"]
        var arguments = words.map { strdup($0) } + [nil]
        defer { for text in environment + arguments { free(text) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, "/init", &actions, nil, &arguments, &environment)
        guard code == 0 else { throw SystemError(errno: code, "start the daemon") }
        return child
    }

    /// In the daemon, before anything else: what systemd would have said if it had known the number of the process.
    static func adopt() {
        guard let count = getenv(countVariable), strcmp(count, "0") != 0 else {
            unsetenv("LISTEN_FDS")
            return
        }
        setenv("LISTEN_PID", "\(getpid())", 1)
    }
}
