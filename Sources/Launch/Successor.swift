import CLinux
import Glibc

/// The program that this process becomes: it inherits what it is given and nothing else.
public enum Successor {
    /// Replaces this process. Descriptors 0 to 2 stay, those given become 3 and on, all others are closed; signals are
    /// handled as by default and none is blocked. The process keeps its number, so whoever waits for it, or watches it,
    /// waits for the program.
    ///
    /// - Returns: only if it could not be started: the errno.
    public static func become(_ arguments: [String], inheriting descriptors: [Int32]) -> Int32 {
        guard let program = arguments.first else { return EINVAL }
        let first = LaunchPlan.firstDescriptor
        // Out of the way first: one of them may have the number that another is to get.
        let highest = max(first + Int32(descriptors.count), 64)
        var copies: [Int32] = []
        for descriptor in descriptors {
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, highest)
            guard copy >= 0 else { return errno }
            copies.append(copy)
        }
        for (index, copy) in copies.enumerated() {
            guard dup2(copy, first + Int32(index)) >= 0 else { return errno }
        }
        // They close by themselves where the program starts: where it does not, there is still somebody to say so.
        guard clinux_close_on_exec_from(first + Int32(descriptors.count)) == 0 else { return errno }
        resetSignals()
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        execvp(program, &words)
        return errno
    }

    private static func resetSignals() {
        for number in 1..<Int32(65) where number != SIGKILL && number != SIGSTOP { signal(number, SIG_DFL) }
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
    }
}
