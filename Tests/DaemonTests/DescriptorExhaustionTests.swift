import Foundation
import JSONRPC
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
    private func leave(room: Int) throws {
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

    @Test func clientsWaitUntilThereAreDescriptorsAgain() throws {
        let room = 3
        try leave(room: room)
        let clients = try (0..<12).map { _ in try daemon.connect() }
        for client in clients { try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc"}"#) }
        try turn { daemon.process.descriptorCount == idle + room }
        #expect(try watcher.call("daemon.stats")["gauges"]?["connections"]?.intValue == 1 + room)
        // What takes a descriptor is refused, and nothing else.
        let refusal = try watcher.refusal("memory.create", #"{"size":4096}"#)
        #expect(refusal.code == -Int(EMFILE), "\(refusal)")
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

    @Test func descriptorsThatFindNoRoomAreOneError() throws {
        let client = try daemon.connect()
        _ = try client.call("daemon.info")
        let memory = try SharedMemory(size: 4096)
        try leave(room: 2)
        // The kernel hands over two of five.
        try client.send(
            line: #"{"jsonrpc":"2.0","id":1,"method":"daemon.info"}"#,
            descriptors: [Int32](repeating: memory.descriptor, count: 5))
        let refusal = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(refusal["id"] == .null)
        #expect(refusal["error"]?["code"]?.intValue == -Int(EMFILE))
        #expect(refusal["error"]?["data"]?["reason"]?.stringValue == "descriptors_lost")
        let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(reply["id"]?.intValue == 1)
        #expect(reply["result"]?["name"]?.stringValue == "iommud")
        #expect(daemon.process.descriptorCount == idle + 1 + 2)
        try leave(room: 1000)
        // Those that came wait as ever.
        for id in 1...2 { #expect(try client.id("memory.import", "{}", "memory") == id) }
        try client.expect(EBADF, "descriptor_missing", "memory.import")
        shutdown(client.socket, Int32(SHUT_RDWR))
        try turn { daemon.process.descriptorCount == idle }
    }
}
