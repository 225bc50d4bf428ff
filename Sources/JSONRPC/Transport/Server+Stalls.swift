import LinuxIO

/// Clients that do not read.
extension Server {
    /// Once a second while any client does not read: drops those that have made no progress for too long.
    func watchStalls() {
        guard stallCheck == nil else { return }
        stallCheck = loop.schedule(after: stallInterval) { [unowned self] in checkStalls() }
    }

    private func checkStalls() {
        stallCheck = nil
        let now = MonotonicClock.nanoseconds
        var isAnyBlocked = false
        for case let link? in links where link.isBlocked {
            if isStalled(link, now) {
                // What each leaves takes its time.
                loop.inPieces(for: link.user) { [self] _ in
                    endIfStalled(link)
                    return true
                }
            } else {
                isAnyBlocked = true
                // At the end of the turn: replies that were made meanwhile go no other way than all replies.
                link.markUnsent()
            }
        }
        if isAnyBlocked { watchStalls() }
    }

    private func isStalled(_ link: Link, _ now: UInt64) -> Bool {
        link.isBlocked && now &- link.lastProgress >= UInt64(max(0, limits.stalledClientSeconds)) &* 1_000_000_000
    }

    private func endIfStalled(_ link: Link) {
        guard links[Int(link.connection.id.index)] === link else { return }
        // It may have read meanwhile.
        guard isStalled(link, MonotonicClock.nanoseconds) else { return watchStalls() }
        onStall?(link.connection)
        link.end()
    }
}
