import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// The daemon as systemd sees it.
struct ServiceManagerTests {
    @Test func itIsReadyWhenItAnswersAndStopsWithStatusZero() throws {
        let daemon = try RunningDaemon()
        let client = try daemon.connect()
        #expect(try client.call("daemon.info")["systemd"]?["notify"]?.boolValue == true)
        #expect(try client.call("daemon.info")["systemd"]?["watchdog"]?.boolValue == false)
        let status = try #require(daemon.manager.wait(for: "STATUS="))
        #expect(status.contains("1 connections"))
        daemon.process.signal(SIGTERM)
        #expect(daemon.manager.wait(for: "STOPPING=1") != nil)
        #expect(daemon.process.wait() == 0)
        #expect(access(daemon.socket, F_OK) != 0)
    }

    @Test func stoppingAnswersWhatIsInFlight() throws {
        let daemon = try RunningDaemon()
        let client = try daemon.connect()
        let fault = try client.id("fault.alloc", "{}", "fault")
        let waiting = #"{"jsonrpc":"2.0","id":1,"method":"fault.read","params":{"fault":\#(fault),"timeout_ms":300}}"#
        try client.send(line: waiting)
        _ = try daemon.connect().call("daemon.info")
        daemon.process.signal(SIGTERM)
        #expect(daemon.manager.wait(for: "STOPPING=1") != nil)
        let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(reply["result"]?["faults"]?.arrayValue?.isEmpty == true)
        #expect(daemon.process.wait() == 0)
    }

    @Test func stoppingDoesNotWaitLongerThanItIsTold() throws {
        let daemon = try RunningDaemon(configuration: "[daemon]\ndrain_seconds = 0\n")
        let client = try daemon.connect()
        let fault = try client.id("fault.alloc", "{}", "fault")
        try client.send(
            line: #"{"jsonrpc":"2.0","id":1,"method":"fault.read","params":{"fault":\#(fault),"timeout_ms":3600000}}"#)
        _ = try daemon.connect().call("daemon.info")
        #expect(daemon.stop() == 0)
        try expectStoppingRefusal(client, "fault.read")
    }

    @Test func aStalledAccessIsAnsweredWhenTheDaemonStops() throws {
        let lab = try String(contentsOfFile: BuiltProgram.laboratory, encoding: .utf8)
        let daemon = try RunningDaemon(configuration: lab + "\n[daemon]\ndrain_seconds = 3600\n")
        let client = try daemon.connect()
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        let device = try client.id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
        let fault = try client.id("fault.alloc", "{}", "fault")
        let hwpt = try client.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"fault":\#(fault)}"#, "hwpt")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
        try client.send(
            line: #"{"jsonrpc":"2.0","id":1,"method":"dma.read","params":{"device":\#(device),"iova":0,"length":1}}"#)
        _ = try daemon.connect().call("daemon.info")
        daemon.process.signal(SIGTERM)
        // In the same message as STOPPING=1; the unit's TimeoutStopSec knows nothing of drain_seconds.
        #expect(daemon.manager.wait(for: "EXTEND_TIMEOUT_USEC=") == "EXTEND_TIMEOUT_USEC=3610000000")
        // A second signal does not wait.
        #expect(daemon.stop() == 0)
        try expectStoppingRefusal(client, "dma.read")
    }

    private func expectStoppingRefusal(_ client: RPCClient, _ method: String) throws {
        let error = try JSONValue(parsing: try #require(try client.receiveLine()))["error"]
        #expect(error?["code"]?.intValue == -Int(ECANCELED))
        #expect(error?["data"]?["reason"]?.stringValue == "daemon_stopping")
        #expect(error?["data"]?["method"]?.stringValue == method)
        #expect(error?["data"]?["hint"]?.stringValue?.isEmpty == false)
        #expect(try client.receiveLine() == nil)
    }

    @Test func reloadingTakesOverWhatItCanAndSaysSo() throws {
        let daemon = try RunningDaemon(configuration: "[limits]\nsessions = 8\n")
        let client = try daemon.connect()
        _ = try client.call("session.attach", #"{"name":"a"}"#)
        let file = daemon.directory + "/iommud.toml"
        try "[daemon]\nsocket = \"/run/other.sock\"\n[limits]\nsessions = 1\nbatch = 1\n"
            .write(toFile: file, atomically: false, encoding: .utf8)
        daemon.process.signal(SIGHUP)
        var lines: [String] = []
        while !lines.contains("READY=1") { lines += try #require(daemon.manager.next()) }
        #expect(lines.contains("RELOADING=1"))
        #expect(lines.contains { $0.hasPrefix("MONOTONIC_USEC=") })
        try client.expect(EDQUOT, "too_many_sessions", "session.attach", #"{"name":"b"}"#)
        try client.send(
            line: #"[{"jsonrpc":"2.0","id":1,"method":"daemon.info"},{"jsonrpc":"2.0","id":2,"method":"daemon.info"}]"#)
        let refused = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(refused["error"]?["code"]?.intValue == -32600)
        #expect(daemon.process.text.contains("limits.sessions"))
        #expect(daemon.process.text.contains("daemon.socket"))
        try "[limits\n".write(toFile: file, atomically: false, encoding: .utf8)
        daemon.process.signal(SIGHUP)
        #expect(daemon.manager.wait(for: "READY=1") != nil)
        #expect(daemon.process.text.contains("iommud.toml:1"))
        try client.expect(EDQUOT, "too_many_sessions", "session.attach", #"{"name":"b"}"#)
    }

    @Test func theWatchdogIsFed() throws {
        let daemon = try RunningDaemon(environment: ["WATCHDOG_USEC": "100000"])
        #expect(daemon.manager.wait(for: "WATCHDOG=1") != nil)
        #expect(daemon.manager.wait(for: "WATCHDOG=1") != nil)
        let client = try daemon.connect()
        #expect(try client.call("daemon.info")["systemd"]?["watchdog"]?.boolValue == true)
        // The daemon's questions to itself leave no session behind.
        #expect(try client.call("session.list")["sessions"]?.arrayValue?.count == 1)
        // A daemon that hangs feeds nothing.
        daemon.process.signal(SIGSTOP)
        while daemon.manager.next(milliseconds: 200) != nil {}
        #expect(daemon.manager.next(milliseconds: 300) == nil)
        daemon.process.signal(SIGCONT)
        #expect(daemon.manager.wait(for: "WATCHDOG=1") != nil)
    }

    @Test func aPassedSocketWinsOverAll() throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let manager = try NotifyReceiver(path: directory + "/notify.sock")
        let passed = directory + "/passed.sock"
        let listener = clinux_unix_socket(false)
        try #require(clinux_unix_bind(listener, passed) == 0)
        try #require(listen(listener, 16) == 0)
        defer { close(listener) }
        // A client that comes before the daemon does is served all the same.
        let early = try RPCClient(path: passed, timeoutMilliseconds: 20_000)
        try early.send(line: #"{"jsonrpc":"2.0","id":1,"method":"daemon.info"}"#)
        let process = try ChildProcess(
            "/bin/sh",
            [
                "-c", #"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=iommud.socket exec "$0" "$@""#, BuiltProgram.iommud,
                "--config", BuiltProgram.laboratory, "--socket", directory + "/unused.sock",
            ], environment: ["NOTIFY_SOCKET": manager.path], descriptors: [listener])
        #expect(manager.wait(for: "READY=1") != nil)
        let reply = try JSONValue(parsing: try #require(try early.receiveLine()))
        #expect(reply["result"]?["systemd"]?["socket_activated"]?.boolValue == true)
        #expect(access(directory + "/unused.sock", F_OK) != 0)
        process.signal(SIGTERM)
        #expect(process.wait() == 0)
        // The socket is the service manager's.
        #expect(access(passed, F_OK) == 0)
    }

    @Test func mistakesInTheConfigurationEndWithStatus78() throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let manager = try NotifyReceiver(path: directory + "/notify.sock")
        let cases = [
            ("[limits]\nbatch = 0\n", "limits.batch"), ("[limits\n", "iommud.toml:1"),
            ("[[smmu]]\nname = \"s\"\n[[device]]\nname = \"d\"\nsmmu = \"t\"\nstream_ids = [1]\n", "device[0].smmu"),
        ]
        for (text, place) in cases {
            let file = directory + "/iommud.toml"
            try text.write(toFile: file, atomically: false, encoding: .utf8)
            let process = try ChildProcess(
                BuiltProgram.iommud, ["--config", file, "--socket", directory + "/s"],
                environment: ["NOTIFY_SOCKET": manager.path])
            #expect(process.wait() == 78)
            #expect(process.text.contains(place), "\(process.text)")
            #expect(manager.wait(for: "ERRNO=") == "ERRNO=22")
            let checked = try ChildProcess(BuiltProgram.iommud, ["--check-config", "--config", file])
            #expect(checked.wait() == 78)
        }
        let missing = try ChildProcess(BuiltProgram.iommud, ["--config", directory + "/nothing.toml"])
        #expect(missing.wait() == 78)
        let good = try ChildProcess(BuiltProgram.iommud, ["--check-config", "--config", BuiltProgram.laboratory])
        #expect(good.wait() == 0)
        #expect(good.text.contains("usable"))
    }

    @Test func aSecondDaemonDoesNotTakeTheSocketOfALiveOne() throws {
        let daemon = try RunningDaemon()
        let second = try ChildProcess(
            BuiltProgram.iommud, ["--config", BuiltProgram.laboratory, "--socket", daemon.socket])
        #expect(second.wait() == 1)
        #expect(second.text.contains("which process \(daemon.process.pid) (iommud) serves"), "\(second.text)")
        #expect(try daemon.connect().call("daemon.info")["name"]?.stringValue == "iommud")
        daemon.process.signal(SIGKILL)
        daemon.process.wait()
        // What a crash leaves is replaced.
        let third = try ChildProcess(
            BuiltProgram.iommud, ["--config", BuiltProgram.laboratory, "--socket", daemon.socket],
            environment: ["NOTIFY_SOCKET": daemon.manager.path])
        #expect(daemon.manager.wait(for: "READY=1") != nil)
        _ = try daemon.connect().call("daemon.info")
        third.signal(SIGTERM)
        #expect(third.wait() == 0)
    }

    @Test func aPassedSocketForTheMetricsWinsOverThePath() throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let passed = directory + "/passed.sock"
        let listener = clinux_unix_socket(false)
        try #require(clinux_unix_bind(listener, passed) == 0)
        try #require(listen(listener, 16) == 0)
        defer { close(listener) }
        let configuration = directory + "/iommud.toml"
        try "[daemon]\nmetrics = \"\(directory)/unused.sock\"\n"
            .write(toFile: configuration, atomically: false, encoding: .utf8)
        let manager = try NotifyReceiver(path: directory + "/notify.sock")
        let process = try ChildProcess(
            "/bin/sh",
            [
                "-c", #"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=metrics exec "$0" "$@""#, BuiltProgram.iommud,
                "--config", configuration, "--socket", directory + "/own.sock",
            ], environment: ["NOTIFY_SOCKET": manager.path], descriptors: [listener])
        #expect(manager.wait(for: "READY=1") != nil)
        let scraper = try RPCClient(path: passed, timeoutMilliseconds: 20_000)
        try scraper.send(bytes: Array("GET /metrics HTTP/1.1\r\n\r\n".utf8))
        #expect(try scraper.receiveLine() == Array("HTTP/1.1 200 OK\r".utf8))
        // It is no socket for clients.
        let client = try RPCClient(path: directory + "/own.sock", timeoutMilliseconds: 20_000)
        #expect(try client.call("daemon.info")["systemd"]?["socket_activated"]?.boolValue == false)
        #expect(access(directory + "/unused.sock", F_OK) != 0)
        process.signal(SIGTERM)
        #expect(process.wait() == 0)
    }

    @Test(arguments: [false, true])
    func aPathThatCannotBeBoundIsAMistakeInTheConfiguration(isOnlyChecked: Bool) throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let configuration = directory + "/iommud.toml"
        try "[daemon]\nmetrics = \"\(directory)/nowhere/metrics.sock\"\n"
            .write(toFile: configuration, atomically: false, encoding: .utf8)
        let process = try ChildProcess(
            BuiltProgram.iommud,
            ["--config", configuration, "--socket", directory + "/s"] + (isOnlyChecked ? ["--check-config"] : []))
        #expect(process.wait() == 78)
        let problem = "daemon.metrics: cannot bind \(directory)/nowhere/metrics.sock: No such file or directory; "
        #expect(process.text.contains(problem), "\(process.text)")
        #expect(process.text.contains("systemctl enable iommud-metrics.socket"))
    }

    @Test func metricsAreServedAsText() throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/metrics.sock"
        let daemon = try RunningDaemon(configuration: "[daemon]\nmetrics = \"\(path)\"\n")
        _ = try daemon.connect().call("ioas.alloc")
        let scraper = try RPCClient(path: path, timeoutMilliseconds: 20_000)
        try scraper.send(bytes: Array("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        var lines: [String] = []
        while let line = try scraper.receiveLine() { lines.append(String(decoding: line, as: UTF8.self)) }
        #expect(lines.first == "HTTP/1.1 200 OK\r")
        #expect(lines.contains(#"iommud_requests_total{method="ioas.alloc"} 1"#))
        #expect(lines.contains("# TYPE iommud_sessions gauge"))
    }
}
