import CLinux
import Foundation
import JSONRPC
import ServiceTestSupport
import TestSupport
import Testing

/// What a configuration that cannot be used does to those who wait for the daemon.
struct ConfigurationMistakeTests {
    private let directory: String
    private var file: String { directory + "/iommud.toml" }

    init() throws {
        directory = try RunningDaemon.makeDirectory()
        try "[limits]\nbatch = 0\n".write(toFile: file, atomically: false, encoding: .utf8)
    }

    private func listener(_ name: String) throws -> Int32 {
        let socket = clinux_unix_socket(false)
        try #require(clinux_unix_bind(socket, "\(directory)/\(name)") == 0)
        try #require(listen(socket, 128) == 0)
        return socket
    }

    private func start(_ listeners: [Int32], names: String) throws -> ChildProcess {
        let passing = "LISTEN_PID=$$ LISTEN_FDS=\(listeners.count) LISTEN_FDNAMES=\(names)"
        return try ChildProcess(
            "/bin/sh", ["-c", passing + #" exec "$0" "$@""#, BuiltProgram.iommud, "--config", file],
            descriptors: listeners)
    }

    @Test func everyClientThatWaitsIsToldOnce() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let listeners = [try listener("clients"), try listener("scrapers")]
        defer { listeners.forEach { close($0) } }
        // More than one start may be limited to, some of whom have asked already.
        let clients = try (0..<100).map { index in
            let client = try RPCClient(path: directory + "/clients", timeoutMilliseconds: 20_000)
            if index % 2 == 0 { try client.send(line: #"{"jsonrpc":"2.0","id":7,"method":"daemon.info"}"#) }
            return client
        }
        let scraper = try RPCClient(path: directory + "/scrapers", timeoutMilliseconds: 20_000)
        try scraper.send(bytes: Array("GET /metrics HTTP/1.1\r\n\r\n".utf8))
        let process = try start(listeners, names: "iommud:metrics")
        for client in clients {
            let line = try #require(try client.receiveLine())
            #expect(RefusalLedger.shared.enter(line: line).isEmpty)
            let reply = try JSONValue(parsing: line)
            #expect(reply["id"] == .null)
            #expect(reply["error"]?["data"]?["reason"]?.stringValue == "configuration_unusable")
            #expect(reply["error"]?["message"]?.stringValue?.contains("\(file): limits.batch: ") == true, "\(reply)")
            #expect(try client.receiveLine() == nil)
        }
        #expect(try scraper.receiveLine() == Array("HTTP/1.1 503 Service Unavailable\r".utf8))
        #expect(process.wait() == 78)
        #expect(process.text.components(separatedBy: "limits.batch").count == 2, "\(process.text)")
    }

    @Test func aRefusedReloadIsTheStatusUntilOneSucceeds() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let daemon = try RunningDaemon(configuration: "")
        let configuration = daemon.directory + "/iommud.toml"
        try "[limits]\nbatch = 0\n".write(toFile: configuration, atomically: false, encoding: .utf8)
        daemon.process.signal(SIGHUP)
        var status = try #require(daemon.manager.wait(for: "STATUS=0 connections"))
        #expect(status.contains("configuration refused: \(configuration): limits.batch: 0 is out of range"))
        _ = try daemon.connect().call("daemon.info")
        status = try #require(daemon.manager.wait(for: "STATUS="))
        #expect(status.contains("limits.batch"))
        try "".write(toFile: configuration, atomically: false, encoding: .utf8)
        daemon.process.signal(SIGHUP)
        while status.contains("limits.batch") || status.hasPrefix("STATUS=reloading") {
            status = try #require(daemon.manager.wait(for: "STATUS="))
        }
        #expect(daemon.process.text.contains("configuration read again"))
    }

    /// The service's ExecReload= runs it as a process of its own beside the daemon.
    @Test func aCheckTellsTheServiceManagerButEndsNobody() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let manager = try NotifyReceiver(path: directory + "/notify.sock")
        let check = try ChildProcess(
            BuiltProgram.iommud, ["--check-config", "--config", file], environment: ["NOTIFY_SOCKET": manager.path])
        #expect(check.wait() == 78)
        let message = try #require(manager.next())
        #expect(message.count == 1 && message[0].hasPrefix("STATUS=configuration refused: \(file): limits.batch: "))
    }
}
