import Glibc
import LinuxIO
import Systemd

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
    private let startedAt = MonotonicClock.microseconds

    package init(systemd: Systemd = Systemd()) { self.systemd = systemd }

    package var uptimeSeconds: UInt64 { (MonotonicClock.microseconds &- startedAt) / 1_000_000 }
}
