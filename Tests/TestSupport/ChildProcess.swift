import CLinux
import Glibc

/// A child process with chosen descriptors; killed at the latest when it is released.
package final class ChildProcess {
    /// Its number; once it has been waited for, that of nobody or of somebody else.
    package let pid: pid_t
    private var status: Int32?
    /// What the child writes to its standard error and output, where these are not the caller's.
    private let log: Int32

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - environment: besides what this process has, without what a service manager has told it.
    ///   - descriptors: what the child gets as descriptors 3, 4, …
    ///   - streams: its standard input and output; nil: what this process reads, and ``text``.
    package init(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], descriptors: [Int32] = [],
        streams: (input: Int32, output: Int32)? = nil
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        log = clinux_memfd_create("output", false)
        if let streams { posix_spawn_file_actions_adddup2(&actions, streams.input, 0) }
        posix_spawn_file_actions_adddup2(&actions, streams?.output ?? log, 1)
        posix_spawn_file_actions_adddup2(&actions, log, 2)
        // Out of the way first: a source may have the number that another one shall get.
        let parked = descriptors.map { fcntl($0, F_DUPFD, 200) }
        defer { parked.forEach { close($0) } }
        for (index, descriptor) in parked.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, 3 + Int32(index))
        }
        var argv = ([program] + arguments).map { strdup($0) } + [nil]
        var envp = Self.environment(with: environment).map { strdup($0) } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var child = pid_t()
        let failure = posix_spawn(&child, program, &actions, nil, &argv, &envp)
        guard failure == 0 else { throw Unexpected("cannot start \(program): \(String(cString: strerror(failure)))") }
        pid = child
    }

    deinit {
        kill()
        close(log)
    }

    /// `NAME=VALUE`
    private static func environment(with additions: [String: String]) -> [String] {
        let left = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "JOURNAL_STREAM"] + additions.keys
        var kept: [String] = []
        var entry = environ
        while let text = entry.pointee.map({ String(cString: $0) }) {
            if !left.contains(where: { text.hasPrefix($0 + "=") }) { kept.append(text) }
            entry += 1
        }
        return kept + additions.map { "\($0.key)=\($0.value)" }
    }

    /// A process that does nothing until it is killed.
    package static func idle() throws -> ChildProcess { try ChildProcess("/usr/bin/tail", ["-f", "/dev/null"]) }

    /// Sends a signal; of a process that has been waited for, to nobody.
    package func signal(_ number: Int32) {
        if status == nil { Glibc.kill(pid, number) }
    }

    /// Ends the process, and waits until it is gone.
    package func kill() {
        signal(SIGKILL)
        wait()
    }

    /// Waits for the end. - Returns: the exit status, or 128 + the signal.
    @discardableResult
    package func wait() -> Int32 {
        if let status { return status }
        var raw: Int32 = 0
        while waitpid(pid, &raw, 0) < 0 && errno == EINTR {}
        let ended = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + raw & 0x7f
        status = ended
        return ended
    }

    // MARK: What it does

    /// Everything the child has written so far.
    package var text: String {
        var status = stat()
        fstat(log, &status)
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = pread(log, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }

    /// Hundredths of a second that the child has computed for, in and out of the kernel.
    package var hundredthsComputed: Int {
        let file = open("/proc/\(pid)/stat", O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &bytes, bytes.count)
        let line = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        // The name in parentheses may hold anything; utime and stime are the fields 14 and 15.
        let fields = line.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.dropFirst(11).prefix(2).compactMap { Int($0) }.reduce(0, +)
    }

    /// Threads of the child; -1 if it is gone.
    package var threadCount: Int { entries(in: "task") }

    /// Open descriptors of the child; -1 if it is gone.
    package var descriptorCount: Int { entries(in: "fd") }

    private func entries(in folder: String) -> Int {
        guard let directory = opendir("/proc/\(pid)/\(folder)") else { return -1 }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // "." and ".." are no entries.
        return count - 2
    }
}
