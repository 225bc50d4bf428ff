import CSystemd
import LinuxIO

/// The service manager's watchdog, `WatchdogSec=` in the unit.
public enum Watchdog {
    /// The interval in microseconds within which ``Notification/watchdog`` must come, `nil` where none is asked of
    /// this process. Send it at half the interval.
    ///
    /// - Parameter unsetEnvironment: remove the variables, so that children do not see them.
    /// - Throws: EINVAL for malformed variables.
    public static func interval(unsetEnvironment: Bool = false) throws(SystemError) -> UInt64? {
        var microseconds: UInt64 = 0
        let enabled = sd_watchdog_enabled(unsetEnvironment ? 1 : 0, &microseconds)
        return try SystemError.check(enabled, "read the watchdog interval") > 0 ? microseconds : nil
    }
}

/// The machine's init system.
public enum InitSystem {
    /// Whether the machine was booted with systemd.
    public static var isSystemd: Bool { sd_booted() > 0 }
}
