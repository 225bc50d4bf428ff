import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// Nobody waits for somebody else.
struct TurnTests {
    private static let count = 5000

    private func carriedOut(_ stats: JSONValue, _ method: String) -> Int {
        stats["requests"]?[method]?.intValue ?? 0
    }

    /// A line that keeps the daemon busy for seconds leaves room for others, who see how long they waited.
    @Test(arguments: [true, false]) func aClientThatAsksForMuchLeavesRoomForOthers(isBatch: Bool) throws {
        let daemon = try RunningDaemon()
        let pinging = try daemon.connect()
        let busy = try daemon.connect()
        let request = #"{"jsonrpc":"2.0","method":"device.explain","params":{"name":"0000:01:00.0"}}"#
        let requests = Array(repeating: request, count: Self.count)
        let end = #"{"jsonrpc":"2.0","id":1,"method":"daemon.info"}"#
        let text =
            isBatch
            ? "[" + requests.joined(separator: ",") + "]\n" + end : (requests + [end]).joined(separator: "\n")
        try busy.send(line: text)
        var pings = 0
        var stats = try pinging.call("daemon.stats", "{}")
        while carriedOut(stats, "device.explain") < Self.count {
            pings += 1
            stats = try pinging.call("daemon.stats", "{}")
        }
        #expect(pings >= 5)
        #expect(try JSONValue(parsing: try #require(try busy.receiveLine()))["id"] == .integer(1))
        let turns = stats["turns"]?.objectValue?.compactMap(\.value.intValue) ?? []
        #expect(turns.reduce(0, +) > pings)
        #expect(try #require(stats["longest_turn_microseconds"]?["device.explain"]?.intValue) > 0)
    }

    /// What the service manager is told is no condition for serving.
    @Test func startsWithoutAUsableServiceManager() throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/passed.sock"
        let listener = clinux_unix_socket(false)
        try #require(clinux_unix_bind(listener, path) == 0 && listen(listener, 16) == 0)
        defer { close(listener) }
        let client = try RPCClient(path: path, timeoutMilliseconds: 20_000)
        try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"daemon.info"}"#)
        let process = try ChildProcess(
            "/bin/sh",
            [
                "-c", #"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#, BuiltProgram.iommud, "--config",
                BuiltProgram.laboratory,
            ],
            environment: ["NOTIFY_SOCKET": directory + "/nobody", "WATCHDOG_USEC": "soon"], descriptors: [listener])
        let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(reply["result"]?["systemd"]?["watchdog"] == .bool(false))
        process.signal(SIGTERM)
        #expect(process.wait() == 0)
        #expect(process.text.contains("nobody watches the daemon"))
        #expect(process.text.contains("notify the service manager"))
    }
}
