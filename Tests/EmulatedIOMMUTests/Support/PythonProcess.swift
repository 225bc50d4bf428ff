import Glibc
import Testing

/// A child process that runs a Python program and talks to the test in lines.
final class PythonProcess {
    let pid: pid_t
    /// Its standard input and output.
    let line: Line
    private var isReaped = false

    /// Both ends of a conversation in lines; whoever inherits them in the child speaks for it.
    struct Line: Sendable {
        let input: Int32
        let output: Int32

        func say(_ line: String) {
            let bytes = Array((line + "\n").utf8)
            #expect(bytes.withUnsafeBytes { Glibc.write(input, $0.baseAddress, $0.count) } == bytes.count)
        }

        func hear() throws -> String {
            var line: [UInt8] = []
            var byte: UInt8 = 0
            while Glibc.read(output, &byte, 1) == 1 {
                if byte == 10 { return String(decoding: line, as: UTF8.self) }
                line.append(byte)
            }
            throw EndOfOutput()
        }
    }

    /// Makes `buffer(n)` (an anonymous mapping, its address), `say`, `hear` and libc known to the program.
    private static let prelude = """
        import ctypes, mmap, os, sys, signal
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        def buffer(n, prot=3): return libc.mmap(None, n, prot, 0x22, -1, 0)
        def say(*words): print(*words, flush=True)
        def hear(): return sys.stdin.readline().strip()

        """

    /// - Parameter wrapper: a command that runs the program, by its path, and what comes before the program there.
    init(_ program: String, under wrapper: [String] = []) throws {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        try #require(pipe(&toChild) == 0)
        try #require(pipe(&fromChild) == 0)
        for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let words = wrapper + ["/usr/bin/python3", "-I", "-S", "-c", Self.prelude + program]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, wrapper.first ?? "/usr/bin/python3", &actions, nil, &arguments, environ)
        close(toChild[0])
        close(fromChild[1])
        (self.pid, line) = (pid, Line(input: toChild[1], output: fromChild[0]))
        try #require(result == 0, "python3 is needed for tests with real processes")
    }

    deinit {
        kill()
        close(line.input)
        close(line.output)
    }

    func say(_ text: String) { line.say(text) }

    /// The next line of the program's output.
    func hear() throws -> String { try line.hear() }

    func hearAddress() throws -> UInt64 { try #require(UInt64(try hear())) }

    /// Ends the process, and waits until it is gone.
    func kill() {
        guard !isReaped else { return }
        Glibc.kill(pid, SIGKILL)
        reap()
    }

    func reap() {
        guard !isReaped else { return }
        isReaped = true
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    struct EndOfOutput: Error {}
}
