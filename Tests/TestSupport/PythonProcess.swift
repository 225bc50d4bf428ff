import Glibc

/// A child process that runs a Python program and talks to the test in lines.
package final class PythonProcess {
    /// Its standard input and output.
    package let line: Line
    private let process: ChildProcess

    /// Both ends of a conversation in lines; whoever inherits them in the child speaks for it.
    package struct Line: Sendable {
        let input: Int32
        let output: Int32

        /// Sends a line. That a child is gone is noticed by whoever waits for its answer.
        package func say(_ line: String) {
            let bytes = Array((line + "\n").utf8)
            _ = bytes.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
        }

        /// Waits for a line, and returns it without its end.
        package func hear() throws -> String {
            var line: [UInt8] = []
            var byte: UInt8 = 0
            while read(output, &byte, 1) == 1 {
                if byte == 10 { return String(decoding: line, as: UTF8.self) }
                line.append(byte)
            }
            throw Unexpected("the program has ended")
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

    /// Starts it.
    ///
    /// - Parameter wrapper: a command that runs the program, by its path, and what comes before the program there.
    package init(_ program: String, under wrapper: [String] = []) throws {
        var (toChild, fromChild): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else { throw Unexpected("no pipes") }
        for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        line = Line(input: toChild[1], output: fromChild[0])
        defer {
            close(toChild[0])
            close(fromChild[1])
        }
        let words = wrapper + ["/usr/bin/python3", "-I", "-S", "-c", Self.prelude + program]
        process = try ChildProcess(words[0], Array(words.dropFirst()), streams: (toChild[0], fromChild[1]))
    }

    deinit {
        process.kill()
        close(line.input)
        close(line.output)
    }

    /// Its number.
    package var pid: pid_t { process.pid }

    /// Sends a line to the program.
    package func say(_ text: String) { line.say(text) }

    /// The next line of the program's output.
    package func hear() throws -> String { try line.hear() }

    /// The next line, which is a number.
    package func hearAddress() throws -> UInt64 {
        let text = try hear()
        guard let address = UInt64(text) else { throw Unexpected("\(text) is no number") }
        return address
    }

    /// Ends the process, and waits until it is gone.
    package func kill() { process.kill() }

    /// Waits until the process is gone by itself.
    package func reap() { process.wait() }
}
