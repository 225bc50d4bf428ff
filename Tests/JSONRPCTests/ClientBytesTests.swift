import Glibc
import LinuxIO
import Testing

@testable import JSONRPC

/// What one user's connections hold together is bounded, however many there are.
@Suite struct ClientBytesTests {
    private let bytes = ClientBytes(unsentLimit: 1 << 20, unfinishedLimit: 1 << 20)
    private let others = ClientBytes(unsentLimit: 1 << 20, unfinishedLimit: 1 << 20)

    private func bench() throws -> SocketBench {
        let bench = try SocketBench()
        bench.server.onConnect = { [unowned bench, bytes, others] connection in
            connection.bytes = bench.connected.count == 30 ? others : bytes
            bench.connected.append(connection)
        }
        return bench
    }

    /// A reply of 2 MiB is more than a socket takes.
    private let large = request(1, "blob", #"{"bytes":1500000}"#)

    @Test func aUserWhoDoesNotReadIsPausedOnAllConnections() throws {
        let bench = try bench()
        let clients = try (0..<30).map { _ in try bench.connect() }
        let other = try bench.connect()
        for client in clients { try client.send(large) }
        try bench.settle()
        #expect(bytes.unsent > 1 << 20, "one reply is over the limit")
        let capacities = bench.connected.map { $0.outbox.pointee.bytes.pointee.capacity }
        #expect(bytes.unsent < 8 << 20 && capacities.reduce(0, +) < 10 << 20, "\(bytes.unsent)")
        // Another user is served meanwhile.
        try other.send(request(2, "note", #"{"text":"x"}"#))
        #expect(try other.reply()["id"] == .integer(2))
        // All are answered once they read; the order is theirs.
        for client in clients { #expect(try client.reply()["id"] == .integer(1)) }
        try bench.settle()
        #expect(bytes.unsent == 0 && others.unsent == 0)
    }

    @Test func whoLeavesMakesRoom() throws {
        let bench = try bench()
        let clients = try (0..<4).map { _ in try bench.connect() }
        for client in clients { try client.send(large) }
        try bench.settle()
        let served = bench.connected.indices.filter { bench.connected[$0].outbox.pointee.pending > 0 }
        try #require(served.count < clients.count)
        for index in served { clients[index].close() }
        for index in clients.indices where !served.contains(index) {
            #expect(try clients[index].reply()["id"] == .integer(1))
        }
        for client in clients { client.close() }
        try bench.pump { bench.ended.count == clients.count }
        #expect(bytes.unsent == 0 && bytes.unfinished == 0)
    }

    @Test func notificationsCount() throws {
        let bench = try bench()
        let client = try bench.connect()
        let connection = bench.connected[0]
        bytes.unsentLimit = 64 << 10
        let text = String(repeating: "x", count: 1000)
        var sent = 0
        while connection.notify({ $0.string(text) }), sent < 10_000 { sent += 1 }
        #expect(sent < 200, "the connection alone might have 256 KiB")
        #expect(bytes.unsent > 64 << 10)
        for _ in 0..<sent { _ = try client.line() }
        try bench.settle()
        #expect(bytes.unsent == 0)
        #expect(connection.notify { $0.string(text) })
    }

    @Test func linesThatDoNotEndAreRefusedTogether() throws {
        let bench = try bench()
        let half = [UInt8](repeating: UInt8(ascii: " "), count: 400 << 10)
        let clients = try (0..<12).map { _ in try bench.connect() }
        for client in clients { try client.send(half) }
        try bench.settle()
        #expect(bytes.unfinished <= 1 << 20)
        var refused = 0
        for (client, connection) in zip(clients, bench.connected)
        where connection.isEnded || connection.isClosing {
            let reply = try client.reply()
            #expect(reply["id"] == .null && reply["error"]?["code"] == .integer(-Int(EDQUOT)))
            #expect(reply["error"]?["data"]?["key"] == .string("limits.unfinished_bytes"))
            refused += 1
        }
        #expect(refused > 0 && refused < clients.count)
        // Whoever is left finishes the line.
        let left = try #require(clients.indices.first { !bench.connected[$0].isEnded })
        try clients[left].send(request(7, "note", #"{"text":"x"}"#))
        #expect(try clients[left].reply()["id"] == .integer(7))
        for client in clients { client.close() }
        try bench.pump { bench.ended.count == clients.count }
        #expect(bytes.unfinished == 0)
    }
}
