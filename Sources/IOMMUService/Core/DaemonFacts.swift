import Glibc

/// The version of the program.
package enum DaemonVersion {
    package static let text = "0.1.0"
}

/// What does not change while the daemon runs.
package struct DaemonFacts: Sendable {
    /// How systemd is connected.
    package struct Systemd: Sendable, Equatable {
        package var notify = false
        package var journal = false
        package var socketActivated = false
        package var watchdog = false

        package init() {}
    }

    package var systemd: Systemd
    package let pid = getpid()
    private let startedAt = DaemonFacts.monotonicSeconds

    package init(systemd: Systemd = Systemd()) { self.systemd = systemd }

    package var uptimeSeconds: UInt64 { DaemonFacts.monotonicSeconds - startedAt }

    private static var monotonicSeconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec)
    }
}
