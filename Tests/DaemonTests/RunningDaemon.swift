import Foundation
import JSONRPC
import ServiceTestSupport
import TestSupport
import Testing

/// A daemon of the built product on a socket of its own, ready to answer.
final class RunningDaemon {
    let directory: String
    let socket: String
    let process: ChildProcess
    let manager: NotifyReceiver

    /// - Parameters:
    ///   - configuration: TOML text; nil: the laboratory topology.
    ///   - environment: besides `NOTIFY_SOCKET`.
    ///   - path: its socket; nil: one of its own.
    ///   - launcher: a program and its arguments that go before the daemon's, and which becomes the daemon.
    init(
        configuration: String? = nil, arguments: [String] = [], environment: [String: String] = [:],
        socket path: String? = nil, launcher: [String] = [], isReachableByAll: Bool = false
    ) throws {
        directory = try Self.makeDirectory(mode: isReachableByAll ? 0o755 : 0o700)
        socket = path ?? directory + "/iommud.sock"
        manager = try NotifyReceiver(path: directory + "/notify.sock")
        var file = BuiltProgram.laboratory
        if let configuration {
            file = directory + "/iommud.toml"
            try configuration.write(toFile: file, atomically: false, encoding: .utf8)
        }
        let command = launcher + [BuiltProgram.iommud, "--config", file, "--socket", socket] + arguments
        process = try ChildProcess(
            command[0], Array(command.dropFirst()),
            environment: environment.merging(["NOTIFY_SOCKET": manager.path]) { $1 })
        guard manager.wait(for: "READY=1", milliseconds: 20_000) != nil else {
            process.signal(SIGKILL)
            process.wait()
            throw StartFailure(text: process.text)
        }
    }

    struct StartFailure: Error {
        let text: String
    }

    deinit {
        process.signal(SIGKILL)
        process.wait()
        try? FileManager.default.removeItem(atPath: directory)
    }

    static func makeDirectory(mode: Int = 0o700) throws -> String {
        let path = "/tmp/iommud-test-\(UUID().uuidString.prefix(12))"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: mode])
        return path
    }

    /// A client of the daemon. An error reply that the document does not declare fails the test, whoever reads it.
    func connect() throws -> RPCClient {
        let client = try RPCClient(path: socket, timeoutMilliseconds: 20_000)
        client.onLine = { line in
            for problem in RefusalLedger.shared.enter(line: line) { Issue.record("\(problem)") }
        }
        return client
    }

    /// Stops it the way a service manager does. - Returns: the exit status.
    func stop() -> Int32 {
        process.signal(SIGTERM)
        return process.wait()
    }
}
