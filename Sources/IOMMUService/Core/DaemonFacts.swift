import Glibc
import LinuxIO
import Systemd

/// The version of the program.
package enum DaemonVersion {
    /// Major, minor, patch (semver.org).
    package static let text = "0.1.0"
}

/// What does not change while the daemon runs.
package struct DaemonFacts: Sendable {
    /// How systemd is connected.
    package struct Systemd: Sendable, Equatable {
        /// There is a service manager to notify.
        package var notify = false
        /// The log goes to the journal.
        package var journal = false
        /// A `.socket` unit passed the socket.
        package var socketActivated = false
        /// The unit asks for a sign of life (`WatchdogSec=`).
        package var watchdog = false

        /// Nothing of it: a daemon started by hand.
        package init() {}
    }

    /// How systemd is connected.
    package var systemd: Systemd
    /// The daemon's process.
    package let pid = getpid()
    private let startedAt = MonotonicClock.microseconds

    /// Facts of a daemon that starts now.
    package init(systemd: Systemd = Systemd()) { self.systemd = systemd }

    /// Whole seconds since the start.
    package var uptimeSeconds: UInt64 { (MonotonicClock.microseconds &- startedAt) / 1_000_000 }
}
