import CLinux
import Foundation
import JSONRPC
import ServiceTestSupport
import Synchronization
import TestSupport
import Testing

/// A service manager that keeps descriptors, and a daemon that it starts again and again.
///
/// Messages are taken by a thread of its own, as PID 1 takes them: a daemon that waits for it gets on.
final class KeepingManager: @unchecked Sendable {  // the store is behind a mutex, the rest does not change
    let directory: String
    private let descriptor: Int32
    private let store: Mutex<PlayedStore>
    private let lines = Mutex<[String]>([])
    private let capacity: Int

    init(capacity: Int = 64) throws {
        directory = try RunningDaemon.makeDirectory()
        store = Mutex(PlayedStore(capacity: capacity))
        self.capacity = capacity
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0 && clinux_unix_bind(descriptor, directory + "/notify.sock") == 0)
        let number = descriptor
        Thread.detachNewThread { [weak self] in
            while let (text, received) = Self.next(number) {
                guard let self else { return }
                take(text, received)
                for descriptor in received { close(descriptor) }
            }
        }
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
        try? FileManager.default.removeItem(atPath: directory)
    }

    private static func next(_ socket: Int32) -> (String, [Int32])? {
        var bytes = [UInt8](repeating: 0, count: 8192)
        var descriptors = [Int32](repeating: -1, count: Int(CLINUX_SCM_MAX_FD))
        var ancillary = clinux_ancillary()
        let count = clinux_receive(socket, &bytes, bytes.count, &descriptors, &ancillary)
        guard count > 0 else { return nil }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        return (text, Array(descriptors.prefix(Int(ancillary.fd_count))))
    }

    private func take(_ text: String, _ descriptors: [Int32]) {
        _ = store.withLock { $0.take(text, descriptors) }
        lines.withLock { $0 += text.split(separator: "\n").map(String.init) }
    }

    var stored: Int { store.withLock { $0.count } }

    /// Waits until the daemon has said something that begins so. - Returns: all of it.
    func wait(for prefix: String) throws -> String {
        let deadline = Date(timeIntervalSinceNow: 20)
        while Date() < deadline {
            if let line = lines.withLock({ $0.first { $0.hasPrefix(prefix) } }) { return line }
            sched_yield()
        }
        throw Unexpected("the daemon has not said \(prefix)")
    }

    var socketPath: String { directory + "/iommud.sock" }
    var journal: String { directory + "/state/journal" }

    /// Starts the daemon with what is in the store, and waits until it is ready.
    func start(configuration: String = BuiltProgram.laboratory, arguments: [String] = []) throws -> ChildProcess {
        lines.withLock { $0 = [] }
        let passed = store.withLock { $0.passed() }
        defer { for entry in passed { close(entry.descriptor) } }
        let names = passed.map(\.name).joined(separator: ":")
        let launcher =
            passed.isEmpty
            ? #"exec "$0" "$@""# : #"LISTEN_PID=$$ LISTEN_FDS=\#(passed.count) LISTEN_FDNAMES=\#(names) exec "$0" "$@""#
        let process = try ChildProcess(
            "/bin/sh",
            [
                "-c", launcher, BuiltProgram.iommud, "--config", configuration, "--socket", socketPath, "--state",
                directory + "/state",
            ] + arguments,
            environment: ["NOTIFY_SOCKET": directory + "/notify.sock", "IOMMUD_DESCRIPTOR_STORE": "\(capacity)"],
            descriptors: passed.map(\.descriptor))
        do { _ = try wait(for: "READY=1") } catch { throw Unexpected("\(error): \(process.text)") }
        return process
    }

    func connect() throws -> RPCClient {
        let client = try RPCClient(path: socketPath, timeoutMilliseconds: 20_000)
        client.onLine = { line in
            for problem in RefusalLedger.shared.enter(line: line) { Issue.record("\(problem)") }
        }
        return client
    }
}
