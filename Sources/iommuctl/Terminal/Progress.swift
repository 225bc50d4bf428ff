import Glibc

/// How far long work has come: one line on standard error, where somebody looks at it.
struct Progress {
    private let title: String
    private let total: Int
    private let terminal = Terminal.error
    private var shownAt = timespec()
    private var isShown = false

    init(_ title: String, of total: Int) {
        self.title = title
        self.total = total
        clock_gettime(CLOCK_MONOTONIC, &shownAt)
    }

    /// - Parameter count: what is done. Shown ten times a second at most.
    mutating func show(_ count: Int) {
        guard terminal.isThere else { return }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let passed = (now.tv_sec - shownAt.tv_sec) * 1000 + (now.tv_nsec - shownAt.tv_nsec) / 1_000_000
        guard passed >= 100 else { return }
        shownAt = now
        isShown = true
        StandardOutput.writeError("\r" + line(count) + "\u{1b}[K")
    }

    private func line(_ count: Int) -> String {
        let share = total == 0 ? 100 : count * 100 / total
        let text = "\(title) \(count) of \(total)  \(share) %"
        let room = min(30, (terminal.width ?? 80) - text.count - 4)
        guard room > 5 else { return text }
        let full = room * share / 100
        return text + "  " + String(repeating: "█", count: full) + String(repeating: "░", count: room - full)
    }

    /// Takes the line away.
    mutating func end() {
        if isShown { StandardOutput.writeError("\r\u{1b}[K") }
        isShown = false
    }
}
