import Foundation
import LinuxIO
import Testing

@testable import Systemd

@Suite struct WatchdogTests {
    @Test func noWatchdogIsAsked() async {
        await #expect(processExitsWith: .success) {
            unsetenv("WATCHDOG_USEC")
            try #expect(Watchdog.interval() == nil)
        }
    }

    @Test func intervalIsReadAndForgotten() async {
        await #expect(processExitsWith: .success) {
            setenv("WATCHDOG_USEC", "30000000", 1)
            setenv("WATCHDOG_PID", "\(getpid())", 1)
            try #expect(Watchdog.interval(unsetEnvironment: true) == 30_000_000)
            try #expect(Watchdog.interval() == nil)
        }
    }

    @Test func anotherProcessesWatchdogIsNotOurs() async {
        await #expect(processExitsWith: .success) {
            setenv("WATCHDOG_USEC", "30000000", 1)
            setenv("WATCHDOG_PID", "1", 1)
            try #expect(Watchdog.interval() == nil)
        }
    }

    @Test func nonsenseIsAnError() async {
        await #expect(processExitsWith: .success) {
            setenv("WATCHDOG_USEC", "soon", 1)
            #expect(throws: SystemError.self) { try Watchdog.interval() }
        }
    }
}
