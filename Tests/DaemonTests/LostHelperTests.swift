import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// Helpers that end without being told to, and helpers that cannot be had.
struct LostHelperTests {
    /// A session that shares the address space of an idle process.
    private struct Setting {
        let daemon: RunningDaemon
        let client: RPCClient
        let process: ChildProcess
        let files: [Int32]
        let buffer: UnsafeMutableRawBufferPointer
        let (device, accelerator): (Int, Int)
        let mm: Int
        let pasid: Int
        let queue: Int

        init(launcher: [String] = []) throws {
            daemon = try RunningDaemon(launcher: launcher)
            client = try daemon.connect()
            try client.call("session.attach", #"{"name":"vm"}"#)
            process = try ChildProcess.idle()
            buffer = .allocate(byteCount: 4096, alignment: 4096)
            buffer.initializeMemory(as: UInt8.self, repeating: 0x61)
            files = [open("/proc/self/mem", O_RDWR), open("/proc/self/maps", O_RDONLY)]
            device = try client.id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
            accelerator = try client.id("device.bind", #"{"name":"uacce0"}"#, "device")
            mm = try #require(try client.call("mm.open", "{}", descriptors: files)["mm"]?.intValue)
            pasid = try client.id("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#, "pasid")
            queue = try client.id("queue.open", #"{"device":\#(accelerator),"mm":\#(mm)}"#, "queue")
            try client.call("queue.start", #"{"queue":\#(queue)}"#)
        }

        func end() {
            files.forEach { close($0) }
            buffer.deallocate()
        }

        /// Everything that works in the memory of the process.
        var accesses: [(method: String, parameters: String)] {
            let address = UInt64(UInt(bitPattern: buffer.baseAddress))
            let place = #"{"device":\#(device),"pasid":\#(pasid),"iova":\#(address)"#
            return [
                ("dma.read", place + #","length":4}"#), ("dma.write", place + #","data":"\#("aaaa".base64)"}"#),
                ("queue.submit", #"{"queue":\#(queue),"op":"checksum","src":\#(address),"length":4}"#),
                ("mm.open", #"{"pid":\#(process.pid)}"#),
            ]
        }

        /// The daemon's helpers.
        var helpers: [pid_t] {
            let path = "/proc/\(daemon.process.pid)/task/\(daemon.process.pid)/children"
            let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
            return text.split(separator: " ").compactMap { pid_t($0) }
        }

        /// Asks, and does not wait; on return the daemon has heard it.
        func ask(_ method: String, _ parameters: String) throws {
            try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(parameters)}"#)
            let other = try daemon.connect()
            for _ in 0..<2 { _ = try other.call("daemon.info", "{}") }
        }
    }

    /// Calls that look first whether the address space lives end with their session, and with the daemon.
    @Test(arguments: ["session_closed", "daemon_stopping"]) func whoWaitsForAHelperDoesNotOutlastTheRest(
        reason: String
    ) throws {
        let setting = try Setting()
        defer { setting.end() }
        let unstarted = try setting.client.id(
            "queue.open", #"{"device":\#(setting.accelerator),"mm":\#(setting.mm)}"#, "queue")
        let calls = [
            ("sva.bind", #"{"device":\#(setting.device),"mm":\#(setting.mm)}"#),
            ("queue.open", #"{"device":\#(setting.accelerator),"mm":\#(setting.mm)}"#),
            ("queue.start", #"{"queue":\#(unstarted)}"#), ("queue.stop", #"{"queue":\#(setting.queue)}"#),
        ]
        let connections = try calls.map { _ in try setting.daemon.connect() }
        for connection in connections { try connection.call("session.attach", #"{"name":"vm","create":false}"#) }
        for helper in setting.helpers { kill(helper, SIGSTOP) }
        for (connection, (method, parameters)) in zip(connections, calls) {
            try connection.send(line: #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(parameters)}"#)
        }
        for _ in 0..<2 { _ = try setting.client.call("daemon.info", "{}") }
        if reason == "session_closed" {
            try setting.client.call("session.close", "{}")
        } else {
            // The second does not wait for what is in flight; two of a kind could be taken for one.
            for number in [SIGTERM, SIGINT] { setting.daemon.process.signal(number) }
        }
        for (connection, (method, _)) in zip(connections, calls) {
            let reply = try JSONValue(parsing: try #require(try connection.receiveLine()))
            #expect(reply["error"]?["data"]?["reason"]?.stringValue == reason, "\(method): \(reply)")
        }
    }

    /// What a helper was at is lost, and nothing else.
    @Test(arguments: 0..<4) func aHelperThatIsKilledCostsOneRequest(index: Int) throws {
        let setting = try Setting()
        defer { setting.end() }
        let (method, parameters) = setting.accesses[index]
        // With the pages in the tables, what is asked is the access itself.
        try setting.client.call(method, parameters)
        let helper = try #require(setting.helpers.first)
        #expect(setting.helpers.count == 1)
        kill(helper, SIGSTOP)
        try setting.ask(method, parameters)
        kill(helper, SIGKILL)
        let reply = try JSONValue(parsing: try #require(try setting.client.receiveLine()))
        #expect(reply["error"]?["code"]?.intValue == -Int(EIO), "\(reply)")
        #expect(reply["error"]?["data"]?["reason"]?.stringValue == "memory_helper_lost")
        for (method, parameters) in setting.accesses { try setting.client.call(method, parameters) }
        #expect(!setting.helpers.contains(helper))
    }

    /// A helper has nothing but the pipe and what it works on, and does not outlive the daemon.
    @Test func aHelperHoldsNothing() throws {
        let setting = try Setting()
        defer { setting.end() }
        let helper = try #require(setting.helpers.first)
        // It closes the last ones when it has answered.
        var targets: Set<String> = []
        for _ in 0..<100_000 {
            targets = try Self.descriptors(of: helper)
            if targets.count == 1 { break }
        }
        #expect(targets.count == 1 && targets.first?.hasPrefix("socket:") == true, "\(targets)")
        let name = try String(contentsOfFile: "/proc/\(helper)/comm", encoding: .utf8)
        #expect(name == "iommud-00000000\n" || getuid() != 0)
        let environment = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(helper)/environ"))
        #expect(environment.isEmpty)
        let pidfd = clinux_pidfd_open(helper)
        try #require(pidfd >= 0)
        defer { close(pidfd) }
        setting.daemon.process.signal(SIGKILL)
        setting.daemon.process.wait()
        var end = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
        #expect(poll(&end, 1, 20_000) == 1)
    }

    /// What a process has open.
    private static func descriptors(of pid: pid_t) throws -> Set<String> {
        let entries = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")
        return Set(
            entries.compactMap {
                try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")
            })
    }

    private static let unshare = ["/usr/bin/unshare", "--mount", "--propagation", "private"]

    private static let canUnshare =
        (try? ChildProcess(unshare[0], Array(unshare.dropFirst()) + ["true"]).wait()) == 0

    /// Where the daemon's own program cannot be found, nothing that needs a helper is done.
    @Test(.enabled(if: canUnshare, "needs unshare(1) and the right to make mount namespaces"))
    func withoutHelpersNothingIsTouched() throws {
        let setting = try Setting(launcher: Self.unshare)
        defer { setting.end() }
        for (method, parameters) in setting.accesses { try setting.client.call(method, parameters) }
        let tool = try ChildProcess(
            "/usr/bin/nsenter", ["-t", "\(setting.daemon.process.pid)", "-m", "mount", "-t", "tmpfs", "none", "/proc"])
        try #require(tool.wait() == 0, "\(tool.text)")
        for helper in setting.helpers { kill(helper, SIGKILL) }
        for (method, parameters) in setting.accesses {
            // The first may have been on its way to one that has just been killed.
            var refusal = try setting.client.refusal(method, parameters)
            if refusal.reason == "memory_helper_lost" { refusal = try setting.client.refusal(method, parameters) }
            #expect(refusal.code == -Int(EAGAIN) && refusal.reason == "no_memory_helper", "\(method): \(refusal)")
        }
        #expect(try setting.client.call("session.objects")["objects"]?.arrayValue?.count ?? 0 > 4)
    }
}
