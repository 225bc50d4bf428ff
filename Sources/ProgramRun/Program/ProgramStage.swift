import CLinux
import Glibc
import LinuxIO

/// The process that becomes the program: first it makes the program's view of the file system, has its calls stopped,
/// and hands the place where they arrive to the supervisor.
package enum ProgramStage {
    /// The number that the socket to the supervisor has when the process begins.
    static let socketNumber: Int32 = 3
    /// Exit statuses, as shells have them.
    static let (cannotRun, notFound): (Int32, Int32) = (126, 127)

    /// Becomes the program.
    ///
    /// - Parameter command: the program, looked for as a shell does, and its arguments.
    /// - Returns: the exit status where that cannot be done; why has been said.
    package static func run(_ command: [String]) -> Int32 {
        do throws(SystemError) {
            guard fcntl(socketNumber, F_SETFD, FD_CLOEXEC) == 0, let name = command.first else {
                throw SystemError(errno: EINVAL, "begin without a supervisor")
            }
            let socket = PacketSocket(adopting: Descriptor(adopting: socketNumber))
            guard let plan = try socket.receive(atMost: RunWire.largest),
                let parsed = RunPlan.parse(String(decoding: plan.bytes, as: UTF8.self))
            else { throw SystemError(errno: EINVAL, "begin without a plan") }
            try makeTree(parsed.nodes, parsed.files)
            let listener = Descriptor(
                adopting: try SystemError.check(
                    clinux_stop_calls(1 << VFIODevice.regionShift), "have calls stopped (seccomp, Linux 5.19)"))
            try socket.send([1], with: [listener.number])
            _ = consume listener
            // The supervisor looks for the nodes meanwhile.
            guard try socket.receive(atMost: 1) != nil else { throw SystemError(errno: EPIPE, "begin") }
            return become(name, command)
        } catch {
            say("\(error)")
            return cannotRun
        }
    }

    private static func makeTree(_ nodes: [String], _ files: [RunPlan.File]) throws(SystemError) {
        var template = Array("/tmp/iommuctl-run-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw .current("make a folder in /tmp") }
        let scratch = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        try SystemError.check(clinux_enter_namespaces(), "have a mount namespace")
        var tree = try ShadowTree(scratch: scratch)
        for node in nodes { try tree.mount(RunPlan.standIn, at: node) }
        for file in files { try tree.add(file) }
        // Nobody needs it any more; outside it is an empty folder, which the supervisor removes.
        umount2(scratch, Int32(MNT_DETACH))
        rmdir(scratch)
    }

    private static func become(_ name: String, _ command: [String]) -> Int32 {
        var arguments = command.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        // What this program ignores for its own sake.
        signal(SIGPIPE, SIG_DFL)
        execvp(name, &arguments)
        let failure = errno
        say("\(name): \(String(cString: strerror(failure)))")
        return failure == ENOENT ? notFound : cannotRun
    }

    private static func say(_ text: String) {
        let bytes = Array("iommuctl run: \(text)\n".utf8)
        _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
    }
}

/// What goes between the supervisor and the process that becomes the program.
enum RunWire {
    /// Bytes of a plan.
    static let largest = 1 << 20
}
