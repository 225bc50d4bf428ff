import Foundation
import LinuxIO
import Testing

@testable import Systemd

@Suite struct PassedDescriptorTests {
    @Test func nothingIsPassedToAnOrdinaryProcess() async {
        await #expect(processExitsWith: .success) {
            unsetenv("LISTEN_PID")
            try #expect(PassedDescriptor.take().isEmpty)
        }
    }

    @Test func descriptorsMeantForAnotherProcessAreLeftAlone() async {
        await #expect(processExitsWith: .success) {
            setenv("LISTEN_PID", "1", 1)
            setenv("LISTEN_FDS", "1", 1)
            try #expect(PassedDescriptor.take().isEmpty)
        }
    }

    @Test func malformedVariablesAreAnError() async {
        await #expect(processExitsWith: .success) {
            setenv("LISTEN_PID", "\(getpid())", 1)
            setenv("LISTEN_FDS", "many", 1)
            #expect(throws: SystemError.self) { try PassedDescriptor.take() }
        }
    }

    @Test func descriptorsComeWithNamesKindsAndCloseOnExec() async {
        await #expect(processExitsWith: .success) {
            // What the test process already has open from 3 on is passed too: fill the gaps, then append ours.
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let highest = try highestDescriptor()
            var filled = open("/dev/null", O_RDONLY)
            while filled >= 0 && filled < highest { filled = open("/dev/null", O_RDONLY) }
            try #require(filled >= 0)
            let listener = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
            #expect(bindAbstract(listener) == 0 && listen(listener, 1) == 0)
            // The runtime's own threads may take a number in between: what is not adjacent becomes filler too.
            var (socket, file) = (listener, open("/dev/zero", O_RDONLY))
            for _ in 0..<32 where file != socket + 1 { (socket, file) = (dup(socket), dup(file)) }
            try #require(file == socket + 1)

            let count = Int(file) - 2
            let names = (0..<count).map { $0 == count - 2 ? "iommud.socket" : $0 == count - 1 ? "session-7" : "filler" }
            setenv("LISTEN_PID", "\(getpid())", 1)
            setenv("LISTEN_FDS", "\(count)", 1)
            setenv("LISTEN_FDNAMES", names.joined(separator: ":"), 1)

            let passed = try PassedDescriptor.take()
            #expect(passed.count == count)
            // Among the fillers is what the test process itself needs: they stay open until it exits.
            for filler in passed { _ = Unmanaged.passRetained(filler.descriptor) }
            let ours = passed.suffix(2)
            #expect(ours.map(\.descriptor.number) == [socket, file])
            #expect(ours.map(\.name) == ["iommud.socket", "session-7"])
            #expect(ours.map(\.kind) == [.unixListener, .other])
            #expect(fcntl(socket, F_GETFD) & FD_CLOEXEC != 0)
            #expect(fcntl(file, F_GETFD) & FD_CLOEXEC != 0)
            #expect(getenv("LISTEN_FDS") == nil)
            try #expect(PassedDescriptor.take().isEmpty, "taken once")
        }
    }

    @Test func kindsAreTold() throws {
        var pair: [CInt] = [0, 0]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0)
        var ends: [CInt] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { for descriptor in pair + ends { close(descriptor) } }
        #expect(PassedDescriptor.kind(of: pair[0]) == .socket)
        #expect(PassedDescriptor.kind(of: ends[0]) == .fifo)
        #expect(PassedDescriptor.kind(of: -1) == .other)
    }
}

/// The highest number of an open descriptor.
private func highestDescriptor() throws -> CInt {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { CInt($0) }.max() ?? 0
}

/// Binds to a fresh abstract address (an address of the family alone: the kernel chooses).
private func bindAbstract(_ socket: CInt) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(socket, $0, socklen_t(MemoryLayout<sa_family_t>.size))
        }
    }
}
