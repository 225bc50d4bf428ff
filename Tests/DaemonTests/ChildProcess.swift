import CLinux
import Foundation
import Testing

/// A child process with chosen descriptors; killed at the latest when it is released.
final class ChildProcess {
    let pid: pid_t
    private var status: Int32?
    /// What the child writes to its standard error and output, once it has ended.
    private let output: Int32

    /// - Parameter descriptors: what the child gets as descriptors 3, 4, …
    init(_ program: String, _ arguments: [String], environment: [String: String] = [:], descriptors: [Int32] = [])
        throws
    {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        output = clinux_memfd_create("output", false)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        // Out of the way first: a source may have the number that another one shall get.
        let parked = descriptors.map { fcntl($0, F_DUPFD, 200) }
        defer { parked.forEach { close($0) } }
        for (index, descriptor) in parked.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, 3 + Int32(index))
        }
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var variables = ProcessInfo.processInfo.environment
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "JOURNAL_STREAM"] { variables[name] = nil }
        variables.merge(environment) { _, new in new }
        var envp = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var child = pid_t()
        let failure = posix_spawn(&child, program, &actions, nil, &argv, &envp)
        try #require(failure == 0, "cannot start \(program): \(String(cString: strerror(failure)))")
        pid = child
    }

    deinit {
        if status == nil {
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        close(output)
    }

    /// A process that does nothing until it is killed.
    static func idle() throws -> ChildProcess { try ChildProcess("/usr/bin/tail", ["-f", "/dev/null"]) }

    func signal(_ number: Int32) { kill(pid, number) }

    /// Waits for the end. - Returns: the exit status, or 128 + the signal.
    @discardableResult
    func wait() -> Int32 {
        if let status { return status }
        var raw: Int32 = 0
        while waitpid(pid, &raw, 0) < 0 && errno == EINTR {}
        let ended = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + raw & 0x7f
        status = ended
        return ended
    }

    /// Everything the child has written so far.
    var text: String {
        var status = stat()
        fstat(output, &status)
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = pread(output, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }

    /// Hundredths of a second that the child has computed for, in and out of the kernel.
    var hundredthsComputed: Int {
        let line = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        // The name in parentheses may hold anything; utime and stime are the fields 14 and 15.
        let fields = line.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.dropFirst(11).prefix(2).compactMap { Int($0) }.reduce(0, +)
    }

    /// Threads of the child.
    var threadCount: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task").count) ?? -1
    }

    /// Open descriptors of the child.
    var descriptorCount: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? -1
    }
}
