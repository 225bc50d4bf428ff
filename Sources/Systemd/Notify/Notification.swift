import LinuxIO

/// One assignment of the service notification protocol, sd_notify(3).
///
/// Several notifications can go in one message; the service manager then applies them together.
public enum Notification: Sendable, Equatable {
    /// `READY=1`: start-up, or a reload, is finished.
    case ready
    /// `RELOADING=1` with the `MONOTONIC_USEC=` that systemd 253 and later ask for. Use ``reloadingNow()``.
    case reloading(monotonicMicroseconds: UInt64)
    /// `STOPPING=1`: the service has begun to shut down.
    case stopping
    /// `STATUS=`: one line for a person, shown by `systemctl status`.
    case status(String)
    /// `ERRNO=`: the errno the service failed with, positive.
    case errno(CInt)
    /// `BUSERROR=`: the D-Bus style error name the service failed with.
    case busError(String)
    /// `MAINPID=`: the main process, where it is not the one that was started.
    case mainProcess(CInt)
    /// `WATCHDOG=1`: still alive.
    case watchdog
    /// `WATCHDOG=trigger`: handle this service as if its watchdog had run out.
    case watchdogTrigger
    /// `WATCHDOG_USEC=`: a new watchdog interval, in microseconds.
    case watchdogInterval(microseconds: UInt64)
    /// `EXTEND_TIMEOUT_USEC=`: this much more time, in microseconds from now, for the current start, reload or stop.
    case extendTimeout(microseconds: UInt64)
    /// Any other assignment, such as one that a later systemd understands.
    case assignment(name: String, value: String)

    /// ``reloading(monotonicMicroseconds:)`` stamped with the present `CLOCK_MONOTONIC`.
    public static func reloadingNow() -> Notification {
        .reloading(monotonicMicroseconds: MonotonicClock.microseconds)
    }

    /// The lines of the message, without line feeds at their ends.
    ///
    /// A value is one line: control characters in it would start another assignment and become spaces.
    public var lines: [String] {
        switch self {
        case .ready: ["READY=1"]
        case .reloading(let microseconds): ["RELOADING=1", "MONOTONIC_USEC=\(microseconds)"]
        case .stopping: ["STOPPING=1"]
        case .status(let text): ["STATUS=" + Self.oneLine(text)]
        case .errno(let value): ["ERRNO=\(value)"]
        case .busError(let name): ["BUSERROR=" + Self.oneLine(name)]
        case .mainProcess(let pid): ["MAINPID=\(pid)"]
        case .watchdog: ["WATCHDOG=1"]
        case .watchdogTrigger: ["WATCHDOG=trigger"]
        case .watchdogInterval(let microseconds): ["WATCHDOG_USEC=\(microseconds)"]
        case .extendTimeout(let microseconds): ["EXTEND_TIMEOUT_USEC=\(microseconds)"]
        case .assignment(let name, let value): [Self.oneLine(name) + "=" + Self.oneLine(value)]
        }
    }

    private static func oneLine(_ text: String) -> String {
        var scalars = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            scalars.append(scalar.value < 0x20 || scalar.value == 0x7f ? " " : scalar)
        }
        return String(scalars)
    }
}
