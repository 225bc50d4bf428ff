import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// A daemon that has no descriptors left goes on with what it has.
struct DescriptorExhaustionTests {
    private let daemon: RunningDaemon
    private let watcher: RPCClient
    /// Descriptors of the daemon while only the watcher is connected.
    private let idle: Int

    init() throws {
        daemon = try RunningDaemon()
        watcher = try daemon.connect()
        _ = try watcher.call("daemon.info")
        idle = daemon.process.descriptorCount
        try #require(idle > 3)
    }

    /// Lets the daemon have so many descriptors more than it has now.
    private func leave(room: Int, of daemon: RunningDaemon? = nil) throws {
        let daemon = daemon ?? self.daemon
        let path = "/proc/\(daemon.process.pid)/fd"
        let used = Set(try FileManager.default.contentsOfDirectory(atPath: path).compactMap(Int.init))
        // RLIMIT_NOFILE bounds the numbers, of which not all below the highest need be in use.
        let free = (0...).lazy.filter { !used.contains($0) }.prefix(room)
        let tool = try ChildProcess(
            "/usr/bin/env", ["prlimit", "--pid", "\(daemon.process.pid)", "--nofile=\((free.max() ?? 0) + 1):"])
        try #require(tool.wait() == 0, "\(tool.text)")
    }

    /// Lets the daemon take turns until something is so.
    private func turn(until isDone: () throws -> Bool) throws {
        for _ in 0..<200_000 {
            if try isDone() { return }
            _ = try watcher.call("daemon.info")
        }
        Issue.record("this does not come about")
    }

    @Test func memoryIsNotHandedOutWithoutADescriptor() throws {
        try watcher.call("memory.create", #"{"size":4096}"#)
        try leave(room: 0)
        try watcher.expect(EMFILE, "no_descriptors", "memory.export", #"{"memory":1}"#)
        try leave(room: 1000)
        try watcher.call("memory.export", #"{"memory":1}"#)
    }

    @Test func clientsWaitUntilThereAreDescriptorsAgain() throws {
        let room = 3
        try leave(room: room)
        let clients = try (0..<12).map { _ in try daemon.connect() }
        for client in clients { try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc"}"#) }
        try turn { daemon.process.descriptorCount == idle + room }
        #expect(try watcher.call("daemon.stats")["gauges"]?["connections"]?.intValue == 1 + room)
        // What takes a descriptor is refused, and nothing else.
        let refusal = try watcher.refusal("memory.create", #"{"size":4096}"#)
        #expect(refusal.code == -Int(EMFILE) && refusal.reason == "no_descriptors", "\(refusal)")
        #expect(try watcher.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
        // Each that goes makes room for the next.
        for client in clients {
            let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
            #expect(reply["result"]?["ioas"]?.intValue == 1)
            shutdown(client.socket, Int32(SHUT_RDWR))
        }
        try turn { daemon.process.descriptorCount == idle }
        try leave(room: 1000)
        let late = try (0..<12).map { _ in try daemon.connect() }
        for client in late { _ = try client.call("daemon.info") }
    }

    @Test func anInterruptThatCouldNotBeSignalledIsRefused() throws {
        let client = try daemon.connect()
        _ = try client.call("vsmmu.create")
        let signal = clinux_make_eventfd()
        try #require(signal >= 0)
        defer { close(signal) }
        // The eventfd has room, and nothing else.
        try leave(room: 1)
        let arguments = #"{"vsmmu":1,"irq":"evtq"}"#
        try client.expect(EMFILE, "no_descriptors", "vsmmu.set_irq", arguments, descriptors: [signal])
        #expect(daemon.process.descriptorCount == idle + 1)
        try leave(room: 1000)
        try client.call("vsmmu.set_irq", arguments, descriptors: [signal])
    }

    /// A memfd twice and two eventfds: with room for one, two or three of them there is no ring, nor a part of one.
    @Test func aRingIsNotOpenedWithoutDescriptors() throws {
        let client = try daemon.connect()
        _ = try client.call("vsmmu.create")
        let signal = clinux_make_eventfd()
        try #require(signal >= 0)
        defer { close(signal) }
        // What signals need is there from now on.
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"evtq"}"#, descriptors: [signal])
        let before = daemon.process.descriptorCount
        for room in 1...3 {
            try leave(room: room)
            try client.expect(EMFILE, "no_descriptors", "vsmmu.ring_open", #"{"vsmmu":1,"entries":8}"#)
            #expect(daemon.process.descriptorCount == before)
        }
        try leave(room: 1000)
        try client.call("vsmmu.ring_open", #"{"vsmmu":1,"entries":8}"#)
        try client.call("vsmmu.ring_close", #"{"vsmmu":1}"#)
        #expect(daemon.process.descriptorCount == before)
    }

    @Test func scrapersWaitWithoutKeepingTheDaemonBusy() throws {
        let directory = try RunningDaemon.makeDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/metrics.sock"
        let daemon = try RunningDaemon(configuration: "[daemon]\nmetrics = \"\(path)\"\n")
        let client = try daemon.connect()
        let queue = try client.id("fault.alloc", "{}", "fault")
        try leave(room: 0, of: daemon)
        let scraper = try RPCClient(path: path, timeoutMilliseconds: 20_000)
        let before = daemon.process.hundredthsComputed
        // Half a second in which the daemon has nothing to do but wait.
        _ = try client.call("fault.read", #"{"fault":\#(queue),"timeout_ms":500}"#)
        #expect(daemon.process.hundredthsComputed - before < 10)
        try leave(room: 1000, of: daemon)
        try scraper.send(bytes: Array("GET / HTTP/1.1\r\n\r\n".utf8))
        #expect(try scraper.receiveLine().map { String(decoding: $0, as: UTF8.self) } == "HTTP/1.1 200 OK\r")
    }

    @Test(arguments: [0, 2]) func descriptorsThatFindNoRoomAreOneError(room: Int) throws {
        let client = try daemon.connect()
        _ = try client.call("daemon.info")
        let memory = try SharedMemory(size: 4096)
        #expect(try client.importMemory(memory) == 1)
        try leave(room: room)
        // The kernel hands over so many of five.
        let imports = (0..<3).map { #"{"jsonrpc":"2.0","id":\#($0 + 2),"method":"memory.import","params":{}}"# }
        try client.send(
            line: ([#"{"jsonrpc":"2.0","id":1,"method":"daemon.info"}"#] + imports).joined(separator: "\n"),
            descriptors: [Int32](repeating: memory.descriptor, count: 5))
        let refusal = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(refusal["id"] == .null)
        #expect(refusal["error"]?["code"]?.intValue == -Int(EMFILE))
        #expect(refusal["error"]?["data"]?["reason"]?.stringValue == "descriptors_lost")
        let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(reply["id"]?.intValue == 1)
        #expect(reply["result"]?["name"]?.stringValue == "iommud")
        // Those that came are there for the lines that they came with.
        for id in 1...3 {
            let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
            if id <= room {
                #expect(reply["result"]?["memory"]?.intValue == id + 1)
            } else {
                #expect(reply["error"]?["data"]?["reason"]?.stringValue == "descriptor_missing")
            }
        }
        #expect(daemon.process.descriptorCount == idle + 2 + room)
        try leave(room: 1000)
        shutdown(client.socket, Int32(SHUT_RDWR))
        try turn { daemon.process.descriptorCount == idle }
    }

    /// Looking at the first memfd takes a descriptor, and not having one then is no verdict on those to come.
    @Test func aFirstImportWithoutRoomSpoilsNoLaterOne() throws {
        let client = try daemon.connect()
        _ = try client.call("daemon.info")
        let memory = try SharedMemory(size: 4096)
        try leave(room: 1)
        try client.expect(EMFILE, "no_descriptors", "memory.import", descriptors: [memory.descriptor])
        #expect(daemon.process.descriptorCount == idle + 1)
        try leave(room: 1000)
        #expect(try client.importMemory(memory) == 1)
    }
}
