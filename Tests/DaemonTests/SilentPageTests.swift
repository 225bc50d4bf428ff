import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// Pages of other processes that never come, behind a real FUSE server: whoever waits for them, waits alone.
@Suite(.enabled(if: SilentFiles.areThere, "needs /dev/fuse and the right to mount"))
struct SilentPageTests {
    private let files: SilentFiles

    init() throws { files = try SilentFiles() }

    /// A daemon, and sessions in it.
    private struct Setting {
        let daemon: RunningDaemon
        let client: RPCClient
        let device: Int
        let queue: Int?
        let session: String

        init(_ daemon: RunningDaemon, session: String = "vm", device name: String = "0000:03:00.0") throws {
            self.daemon = daemon
            self.session = session
            client = try daemon.connect()
            try client.call("session.attach", #"{"name":"\#(session)"}"#)
            device = try client.id("device.bind", #"{"name":"\#(name)"}"#, "device")
            queue = nil
        }

        /// The PASID of a process's address space.
        func share(_ process: ChildProcess) throws -> Int {
            let mm = try client.id("mm.open", #"{"pid":\#(process.pid)}"#, "mm")
            return try client.id("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#, "pasid")
        }

        func arguments(_ pasid: Int, _ address: UInt64) -> String {
            #"{"device":\#(device),"pasid":\#(pasid),"iova":\#(address),"length":4}"#
        }

        /// Reads on a connection of its own, which waits.
        func begin(_ pasid: Int, _ address: UInt64) throws -> RPCClient {
            let connection = try daemon.connect()
            try connection.call("session.attach", #"{"name":"\#(session)","create":false}"#)
            let parameters = arguments(pasid, address)
            try connection.send(line: #"{"jsonrpc":"2.0","id":1,"method":"dma.read","params":\#(parameters)}"#)
            return connection
        }

        func read(_ pasid: Int, _ address: UInt64) throws -> String? {
            try client.call("dma.read", arguments(pasid, address))["data"]?.stringValue
        }
    }

    private static func configuration(_ limits: String, drain: Int = 1) throws -> String {
        let laboratory = try String(contentsOfFile: BuiltProgram.laboratory, encoding: .utf8)
        let start = try #require(laboratory.range(of: "[[smmu]]"))
        return "[daemon]\ndrain_seconds = \(drain)\n[limits]\n\(limits)\n" + laboratory[start.lowerBound...]
    }

    /// More of them than helpers work at one time.
    @Test func othersGoOn() throws {
        let daemon = try RunningDaemon(
            configuration: Self.configuration("workers = 2\nstuck_address_spaces = 16"))
        let setting = try Setting(daemon)
        let processes = try (0..<5).map { try ProcessWithSilentPage(files, $0) }
        let pasids = try processes.map { try setting.share($0.process) }
        // Looking at what is there works before, beside and after.
        for (process, pasid) in zip(processes, pasids) {
            #expect(try setting.read(pasid, process.memory) == "mmmm".base64)
        }
        var waiting: [RPCClient] = []
        for (process, pasid) in zip(processes, pasids) {
            waiting.append(try setting.begin(pasid, process.page))
            try files.waitForRead()
        }
        let other = try Setting(daemon, session: "other", device: "0001:01:00.0")
        let healthy = try ProcessWithSilentPage(files, 9)
        let pasid = try other.share(healthy.process)
        for _ in 0..<20 { #expect(try other.read(pasid, healthy.memory) == "mmmm".base64) }
        // Whoever comes to an address space that does not answer hears so.
        for (process, pasid) in zip(processes, pasids) {
            let refusal = try setting.client.refusal("dma.read", setting.arguments(pasid, process.memory))
            #expect(refusal.code == -Int(EBUSY) && refusal.reason == "address_space_stuck", "\(refusal)")
        }
        try setting.client.expect(
            EBUSY, "address_space_stuck", "dma.write",
            #"{"device":\#(setting.device),"pasid":\#(pasids[0]),"iova":\#(processes[0].memory),"data":"AAAA"}"#)
        // The page does come in the end, as one that cannot be had: all goes on.
        files.end()
        for connection in waiting {
            let reply = try JSONValue(parsing: try #require(try connection.receiveLine()))
            #expect(reply["error"]?["code"]?.intValue == -Int(EFAULT), "\(reply)")
        }
        for (process, pasid) in zip(processes, pasids) {
            #expect(try setting.read(pasid, process.memory) == "mmmm".base64)
        }
    }

    @Test func queuesHearOfItToo() throws {
        let daemon = try RunningDaemon(configuration: Self.configuration(""))
        let setting = try Setting(daemon, device: "uacce0")
        let process = try ProcessWithSilentPage(files, 0)
        let mm = try setting.client.id("mm.open", #"{"pid":\#(process.process.pid)}"#, "mm")
        let queue = try setting.client.id("queue.open", #"{"device":\#(setting.device),"mm":\#(mm)}"#, "queue")
        try setting.client.call("queue.start", #"{"queue":\#(queue)}"#)
        func submit(_ address: UInt64) -> String {
            #"{"queue":\#(queue),"op":"checksum","src":\#(address),"length":4,"timeout_ms":600000}"#
        }
        let waiting = try daemon.connect()
        try waiting.call("session.attach", #"{"name":"vm","create":false}"#)
        try waiting.send(
            line: #"{"jsonrpc":"2.0","id":1,"method":"queue.submit","params":\#(submit(process.page))}"#)
        try files.waitForRead()
        try setting.client.expect(EBUSY, "address_space_stuck", "queue.submit", submit(process.memory))
        // A queue that is stopped does not wait for it, nor does the end of everything.
        try setting.client.call("queue.stop", #"{"queue":\#(queue)}"#)
        let reply = try JSONValue(parsing: try #require(try waiting.receiveLine()))
        #expect(reply["error"]?["data"]?["reason"]?.stringValue == "queue_stopped")
        try setting.client.call("queue.close", #"{"queue":\#(queue)}"#)
        try setting.client.call("mm.close", #"{"mm":\#(mm)}"#)
    }

    @Test func tooManyOfOneUserAreRefused() throws {
        let daemon = try RunningDaemon(configuration: Self.configuration("stuck_address_spaces = 1"))
        let setting = try Setting(daemon)
        let (process, healthy) = (try ProcessWithSilentPage(files, 0), try ProcessWithSilentPage(files, 1))
        let (pasid, other) = (try setting.share(process.process), try setting.share(healthy.process))
        let waiting = try setting.begin(pasid, process.page)
        try files.waitForRead()
        // In line until it is plain that the first does not answer.
        try setting.client.expect(EDQUOT, "quota_exceeded", "dma.read", setting.arguments(other, healthy.memory))
        try setting.client.expect(EDQUOT, "quota_exceeded", "mm.open", #"{"pid":\#(healthy.process.pid)}"#)
        // Giving up does not bring the helper back: it counts until it has ended.
        shutdown(waiting.socket, Int32(SHUT_RDWR))
        try setting.client.expect(EDQUOT, "quota_exceeded", "dma.read", setting.arguments(other, healthy.memory))
        files.end()
        try Self.repeatUntil { (try? setting.read(other, healthy.memory)) == "mmmm".base64 }
        #expect(try setting.read(pasid, process.memory) == "mmmm".base64)
    }

    @Test func theDaemonStopsInTime() throws {
        let daemon = try RunningDaemon(configuration: Self.configuration("", drain: 1))
        let setting = try Setting(daemon)
        let process = try ProcessWithSilentPage(files, 0)
        let waiting = try setting.begin(try setting.share(process.process), process.page)
        try files.waitForRead()
        let start = ContinuousClock.now
        #expect(daemon.stop() == 0)
        #expect(ContinuousClock.now - start < .seconds(10))
        let reply = try JSONValue(parsing: try #require(try waiting.receiveLine()))
        #expect(reply["error"]?["data"]?["reason"]?.stringValue == "daemon_stopping", "\(reply)")
    }

    /// The next daemon serves the same socket at once, and counts what the last one left behind.
    @Test func aKilledDaemonIsReplacedAtOnce() throws {
        let text = try Self.configuration("stuck_address_spaces = 1")
        let daemon = try RunningDaemon(configuration: text)
        let setting = try Setting(daemon)
        let process = try ProcessWithSilentPage(files, 0)
        _ = try setting.begin(try setting.share(process.process), process.page)
        try files.waitForRead()
        daemon.process.signal(SIGKILL)
        daemon.process.wait()
        let start = ContinuousClock.now
        let next = try RunningDaemon(configuration: text, socket: daemon.socket)
        #expect(ContinuousClock.now - start < .seconds(2))
        let client = try next.connect()
        try client.expect(EDQUOT, "quota_exceeded", "mm.open", #"{"pid":\#(process.process.pid)}"#)
        files.end()
        try Self.repeatUntil { (try? client.id("mm.open", #"{"pid":\#(process.process.pid)}"#, "mm")) != nil }
    }

    /// Asks again and again until something is so.
    private static func repeatUntil(_ isSo: () throws -> Bool) throws {
        for _ in 0..<100_000 where try isSo() { return }
        Issue.record("this does not come about")
    }
}
