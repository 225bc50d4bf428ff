import Glibc
import LinuxIO

/// A pipe whose read end tells when the last copy of its write end is closed, wherever the copies are.
final class Witness {
    let read: Int32
    private(set) var write: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemError.current("pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (read, write) = (ends[0], ends[1])
        _ = fcntl(read, F_SETFL, O_NONBLOCK)
    }

    deinit {
        closeWrite()
        _ = close(read)
    }

    func closeWrite() {
        if write >= 0 { _ = close(write) }
        write = -1
    }

    /// Whether every copy of the write end is closed. Wait for it: a process that another test starts holds a copy of
    /// everything from its fork to its exec.
    var isAbandoned: Bool {
        var byte: UInt8 = 0
        return Glibc.read(read, &byte, 1) == 0
    }
}
