import CLinux
import Glibc
import LinuxIO

/// A screen of its own that goes away at the end, however that comes.
final class WatchScreen {
    private let signals: Descriptor
    private let keyboard: RawTerminal?
    private var keys = Keyboard()

    /// What wakes it up.
    enum Wake {
        case time, size, end
    }

    private static let ends = [SIGINT, SIGTERM, SIGHUP]

    init() throws(Failure) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in Self.ends + [SIGWINCH] { sigaddset(&set, signal) }
        // Blocked, they wait for whoever reads them instead of ending the program in the middle of a screen.
        pthread_sigmask(SIG_BLOCK, &set, nil)
        let number = signalfd(-1, &set, Int32(SFD_CLOEXEC))
        guard number >= 0 else { throw .usage("cannot wait for signals: \(String(cString: strerror(errno)))") }
        signals = Descriptor(adopting: number)
        keyboard = RawTerminal()
        // Another screen, without a cursor.
        StandardOutput.write("\u{1b}[?1049h\u{1b}[?25l")
    }

    /// Gives the terminal back.
    func end() {
        StandardOutput.write("\u{1b}[?25h\u{1b}[?1049l")
        keyboard?.restore()
    }

    /// Shows lines from the upper left corner.
    func show(_ lines: [String]) {
        StandardOutput.write("\u{1b}[H" + lines.map { $0 + "\u{1b}[K" }.joined(separator: "\n") + "\u{1b}[J")
    }

    /// How much fits.
    var size: (columns: Int, lines: Int) { Terminal.size(STDOUT_FILENO) ?? (80, 24) }

    /// Waits for a key that ends it, a signal, or a point of the monotonic clock in nanoseconds.
    func wait(until time: UInt64) -> Wake {
        while true {
            let now = MonotonicClock.nanoseconds
            guard now < time else { return .time }
            var waiting = [
                pollfd(fd: signals.number, events: Int16(POLLIN), revents: 0),
                pollfd(fd: keyboard == nil ? -1 : STDIN_FILENO, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&waiting, nfds_t(waiting.count), Int32((time - now) / 1_000_000) + 1) > 0 else { continue }
            if waiting[0].revents != 0 { return isResize() ? .size : .end }
            if waiting[1].revents != 0, isEnd(keys.next()) { return .end }
        }
    }

    private func isResize() -> Bool {
        var info = signalfd_siginfo()
        _ = read(signals.number, &info, MemoryLayout.size(ofValue: info))
        return Int32(bitPattern: info.ssi_signo) == SIGWINCH
    }

    private func isEnd(_ key: Keyboard.Key?) -> Bool {
        [nil, .text("q"), .interrupt, .endOfInput].contains(key)
    }
}
