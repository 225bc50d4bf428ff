import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// One run of a program with iommufd and vfio devices of the daemon's, however it comes by them.
package final class ProgramRun {
    /// What is asked for.
    package struct Options: Sendable {
        /// Of the daemon.
        package var socketPath: String
        /// Devices by name, vfio0 first; none: all that nobody holds.
        package var devices: [String]
        /// The program and its arguments.
        package var command: [String]
        /// Every call is shown.
        package var tracing: Bool
        /// A file for what is told; nil: standard error.
        package var log: String?

        /// With these properties.
        package init(socketPath: String, devices: [String], command: [String], tracing: Bool, log: String?) {
            (self.socketPath, self.devices, self.command) = (socketPath, devices, command)
            (self.tracing, self.log) = (tracing, log)
        }
    }

    /// How the program ended.
    package enum End: Sendable, Equatable {
        case exited(Int32)
        case killed(signal: Int32)
    }

    private let options: Options
    private let supervisor: Supervisor
    private let plan: RunPlan
    private var child: pid_t = 0
    private var end: End?

    /// Asks the daemon for its devices.
    ///
    /// - Throws: `SystemError`, `RPCError`; ``Problem`` for a device that there is not.
    package init(_ options: Options) throws {
        self.options = options
        let topology = try RPCClient(path: options.socketPath, timeoutMilliseconds: 10_000).call("topology.list")
        plan = RunPlan(devices: try Self.chosen(options.devices, from: topology))
        supervisor = try Supervisor(
            socketPath: options.socketPath, plan: plan,
            journal: try CallJournal(tracing: options.tracing, log: options.log))
    }

    /// What stands in the way, for a person.
    package struct Problem: Error, CustomStringConvertible {
        package let description: String
    }

    private static func chosen(_ names: [String], from topology: JSONValue) throws(Problem) -> [RunPlan.Device] {
        let all = topology["devices"]?.arrayValue ?? []
        guard !names.isEmpty else {
            return all.filter { $0["bound_by"] == nil || $0["bound_by"] == .null }.compactMap(RunPlan.Device.init)
        }
        var chosen: [RunPlan.Device] = []
        for name in names {
            guard let device = all.first(where: { $0["name"]?.stringValue == name }).flatMap(RunPlan.Device.init) else {
                throw Problem(description: "the daemon has no device “\(name)”; iommuctl topology lists them")
            }
            chosen.append(device)
        }
        return chosen
    }

    // MARK: Life

    /// Starts the program, answers its calls, and returns when it has ended.
    package func run() throws(SystemError) -> End {
        let signals = try SignalSource([SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2])
        defer { supervisor.end() }
        var theirs: Descriptor?
        let socket = try Self.pair(&theirs)
        guard let stage = theirs.take() else { throw SystemError(errno: EMFILE, "socketpair") }
        child = try Self.start(options.command, socket: stage.number, signals)
        _ = consume stage
        supervisor.watch(signals.descriptor) { [unowned self] in heard(signals.take()) }
        try prepare(socket)
        while true {
            if let end { return end }
            try supervisor.turn()
        }
    }

    /// Waits until the process is about to become the program; it may end before.
    private func prepare(_ socket: borrowing PacketSocket) throws(SystemError) {
        try socket.send(Array(plan.text.utf8))
        guard var packet = try Self.receive(socket), let listener = packet.takeDescriptor() else { return }
        let root = try Descriptor(opening: "/proc/\(child)/root", CLINUX_O_PATH)
        var nodes: [NodeFile: RunPlan.Node] = [:]
        for node in plan.nodes {
            let found = try Descriptor(
                opened: clinux_find_in_root(root.number, node.path, true), "find \(node.path)")
            if let file = NodeFile(found.number) { nodes[file] = node }
        }
        supervisor.begin(listener, nodes: nodes)
        try socket.send([1])
    }

    /// What the stage says; nil if it has ended.
    private static func receive(_ socket: borrowing PacketSocket) throws(SystemError) -> Packet? {
        while true {
            do throws(SystemError) {
                return try socket.receive(atMost: 64)
            } catch  where error.errno == EINTR {
                continue
            } catch  where error.errno == ECONNRESET {
                return nil
            }
        }
    }

    private static func pair(_ other: inout Descriptor?) throws(SystemError) -> PacketSocket {
        let socket = try PacketSocket(pairedWith: &other)
        // Here somebody waits for the other side.
        _ = fcntl(socket.descriptor.number, F_SETFL, 0)
        return socket
    }

    /// This program once more, as the stage of the other.
    private static func start(
        _ command: [String], socket: Int32, _ signals: SignalSource
    ) throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Out of the way of the number that it is to have.
        let parked = fcntl(socket, F_DUPFD_CLOEXEC, 64)
        guard parked >= 0 else { throw .current("duplicate a descriptor") }
        defer { close(parked) }
        posix_spawn_file_actions_adddup2(&actions, parked, ProgramStage.socketNumber)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var mask = signals.before
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGPIPE)
        posix_spawnattr_setsigmask(&attributes, &mask)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var arguments = (["iommuctl", "run", "--stage", "--"] + command).map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var child = pid_t()
        let failure = posix_spawn(&child, "/proc/self/exe", &actions, &attributes, &arguments, environ)
        guard failure == 0 else { throw SystemError(errno: failure, "start the program") }
        return child
    }

    // MARK: Signals

    /// What is sent to this process is meant for the program. A terminal sends its own to both.
    private func heard(_ signals: [Int32]) {
        for signal in signals {
            switch signal {
            case SIGCHLD: reap()
            case SIGINT, SIGQUIT: if tcgetpgrp(STDIN_FILENO) != getpgrp() { kill(child, signal) }
            default: kill(child, signal)
            }
        }
    }

    private func reap() {
        var status: Int32 = 0
        guard waitpid(child, &status, WNOHANG) == child else { return }
        end = status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: status & 0x7f)
    }
}

/// Signals that come by a descriptor instead of interrupting.
final class SignalSource {
    /// What was blocked before.
    let before: sigset_t
    private let source: Descriptor
    var descriptor: Int32 { source.number }

    init(_ signals: [Int32]) throws(SystemError) {
        var (set, old) = (sigset_t(), sigset_t())
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        sigprocmask(SIG_BLOCK, &set, &old)
        before = old
        let number = signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
        guard number >= 0 else { throw .current("signalfd") }
        source = Descriptor(adopting: number)
    }

    /// Those that have come.
    func take() -> [Int32] {
        var signals: [Int32] = []
        var information = signalfd_siginfo()
        while read(source.number, &information, MemoryLayout<signalfd_siginfo>.size) > 0 {
            signals.append(Int32(information.ssi_signo))
        }
        return signals
    }
}
