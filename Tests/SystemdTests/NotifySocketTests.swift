import Foundation
import LinuxIO
import Testing

@testable import Systemd

/// Each test runs in a process of its own: `$NOTIFY_SOCKET` is the whole process's.
@Suite struct NotifySocketTests {
    @Test func withoutAServiceManagerNothingIsSent() async {
        await #expect(processExitsWith: .success) {
            unsetenv("NOTIFY_SOCKET")
            #expect(NotifySocket().isPresent == false)
            try #expect(NotifySocket().notify(.ready) == false)
            try #expect(NotifySocket().barrier(timeoutMicroseconds: 0) == false)
        }
    }

    @Test func notificationsOfOneCallComeAsOneMessage() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            #expect(NotifySocket().isPresent)
            try #expect(NotifySocket().notify(.ready, .status("serving 3 sessions")))
            try #expect(manager.receive().text == "READY=1\nSTATUS=serving 3 sessions")
        }
    }

    @Test func pathSocketsWorkToo() async {
        await #expect(processExitsWith: .success) {
            let path = "/tmp/notify-test-\(getpid())"
            defer { unlink(path) }
            let manager = try FakeServiceManager(path: path)
            try #expect(NotifySocket().notify(.stopping))
            try #expect(manager.receive().text == "STOPPING=1")
        }
    }

    @Test func aSocketThatNobodyHoldsIsAnError() async {
        await #expect(processExitsWith: .success) {
            setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1)
            #expect(throws: SystemError(errno: ENOENT, "notify the service manager")) {
                try NotifySocket().notify(.ready)
            }
        }
    }

    @Test func nobodyWaitsForAManagerThatIsBehind() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            let error = #expect(throws: SystemError.self) {
                for _ in 0..<100_000 { try NotifySocket().notify(.watchdog) }
            }
            #expect(error?.errno == EAGAIN)
            try #expect(manager.receive().text == "WATCHDOG=1")
        }
    }

    @Test func anAddressThatIsNoneIsAnError() async {
        await #expect(processExitsWith: .success) {
            setenv("NOTIFY_SOCKET", "nonsense", 1)
            #expect(throws: SystemError(errno: EINVAL, "notify the service manager")) {
                try NotifySocket().notify(.ready)
            }
        }
    }

    @Test func reloadingCarriesTheMonotonicClock() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            let before = MonotonicClock.microseconds
            try NotifySocket().notify(.reloadingNow())
            let after = MonotonicClock.microseconds
            let lines = try manager.receive().text.split(separator: "\n")
            #expect(lines.first == "RELOADING=1")
            let stamp = try #require(lines.last.flatMap { UInt64($0.dropFirst("MONOTONIC_USEC=".count)) })
            #expect((before...after).contains(stamp))
        }
    }

    @Test func descriptorsTravelWithTheMessage() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            let files = [open("/dev/null", O_RDONLY), open("/dev/zero", O_RDONLY)]
            let store = DescriptorStore(notifier: NotifySocket())
            try #expect(store.store(files, name: "session-7", keepOnHangup: true))
            let message = try manager.receive()
            #expect(message.text == "FDSTORE=1\nFDNAME=session-7\nFDPOLL=0")
            try #require(message.descriptors.count == 2)
            #expect(isSameFile(message.descriptors[0], files[0]))
            #expect(isSameFile(message.descriptors[1], files[1]))
            #expect(fcntl(files[0], F_GETFD) >= 0, "the sender keeps its own")
        }
    }

    @Test func barrierWaitsForTheManager() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            let thread = Thread {
                guard let message = try? manager.receive(waiting: true), message.text == "BARRIER=1" else { return }
                for descriptor in message.descriptors { close(descriptor) }
            }
            thread.start()
            try #expect(NotifySocket().barrier(timeoutMicroseconds: 60_000_000))
        }
    }

    @Test func barrierThatNobodyAnswersTimesOut() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            #expect(throws: SystemError(errno: ETIMEDOUT, "wait for the service manager")) {
                try NotifySocket().barrier(timeoutMicroseconds: 1000)
            }
            try #expect(manager.receive().descriptors.count == 1)
        }
    }

    @Test func whatIsSentAtOnceBringsItsDescriptor() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            let file = open("/dev/zero", O_RDONLY)
            try #expect(NotifySocket().sendAtOnce("FDSTORE=1\nFDNAME=iommud-1\nFDPOLL=0", descriptors: [file]))
            let message = try manager.receive()
            #expect(message.text == "FDSTORE=1\nFDNAME=iommud-1\nFDPOLL=0")
            try #require(message.descriptors.count == 1)
            #expect(isSameFile(message.descriptors[0], file))
            #expect(fcntl(file, F_GETFD) >= 0, "the sender keeps its own")
        }
    }

    @Test func whatIsSentAtOnceWaitsForNobody() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            let error = #expect(throws: SystemError.self) {
                for _ in 0..<100_000 { try NotifySocket().sendAtOnce("FDSTOREREMOVE=1", descriptors: []) }
            }
            #expect(error?.errno == EAGAIN)
            try #expect(manager.receive().text == "FDSTOREREMOVE=1")
        }
    }

    @Test func aBarrierThatHasBegunEndsWithAHangUp() async {
        await #expect(processExitsWith: .success) {
            let manager = try FakeServiceManager()
            guard let told = try NotifySocket().beginBarrier() else {
                Issue.record("there is a service manager")
                return
            }
            var waiting = pollfd(fd: told.number, events: Int16(POLLIN), revents: 0)
            #expect(poll(&waiting, 1, 0) == 0, "nobody has come to it yet")
            let message = try manager.receive()
            #expect(message.text == "BARRIER=1")
            for descriptor in message.descriptors { close(descriptor) }
            #expect(poll(&waiting, 1, 10_000) == 1)
            #expect(waiting.revents & Int16(POLLHUP) != 0)
        }
    }

    @Test func withoutAServiceManagerNoBarrierBegins() async {
        await #expect(processExitsWith: .success) {
            unsetenv("NOTIFY_SOCKET")
            if let told = try NotifySocket().beginBarrier() { Issue.record("\(told.number) waits for nobody") }
            try #expect(NotifySocket().sendAtOnce("FDSTORE=1", descriptors: []) == false)
        }
    }
}
