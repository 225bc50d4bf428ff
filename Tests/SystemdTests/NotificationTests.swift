import Testing

@testable import Systemd

@Suite struct NotificationTests {
    @Test(arguments: [
        (Notification.ready, ["READY=1"]),
        (.reloading(monotonicMicroseconds: 42), ["RELOADING=1", "MONOTONIC_USEC=42"]),
        (.stopping, ["STOPPING=1"]),
        (.status("two\nlines\u{7f}"), ["STATUS=two lines "]),
        (.errno(78), ["ERRNO=78"]),
        (.busError("org.freedesktop.DBus.Error.TimedOut"), ["BUSERROR=org.freedesktop.DBus.Error.TimedOut"]),
        (.mainProcess(4711), ["MAINPID=4711"]),
        (.watchdog, ["WATCHDOG=1"]),
        (.watchdogTrigger, ["WATCHDOG=trigger"]),
        (.watchdogInterval(microseconds: 5), ["WATCHDOG_USEC=5"]),
        (.extendTimeout(microseconds: .max), ["EXTEND_TIMEOUT_USEC=18446744073709551615"]),
        (.assignment(name: "X_NAME", value: "v\rw"), ["X_NAME=v w"]),
    ])
    func linesAreThoseOfTheProtocol(notification: Notification, lines: [String]) {
        #expect(notification.lines == lines)
    }
}
