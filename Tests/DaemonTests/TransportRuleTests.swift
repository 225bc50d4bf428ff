import Foundation
import JSONRPC
import TestSupport
import Testing

/// The rules of framing where the socket has a part in them.
struct TransportRuleTests {
    private let daemon: RunningDaemon
    private let client: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
    }

    @Test func bytesThatAreNoUTF8AreOneError() throws {
        try client.send(bytes: Array(#"{"jsonrpc":"2.0","id":"#.utf8) + [0x22, 0xff, 0xc0, 0x22, 0x7d, 0x0a])
        #expect(try client.nextReply()["error"]?["code"]?.intValue == -32700)
        try client.expectServed()
    }

    @Test func aBatchOfNotificationsHasNoReply() throws {
        let one = #"{"jsonrpc":"2.0","method":"ioas.alloc"}"#
        try client.send(text: "[\(one),\(one)]\n" + one + "\n")
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 4)
    }

    @Test func aLineOverTheLimitEndsTheConnection() throws {
        try client.send(text: requestText("1", "daemon.info") + "\n" + String(repeating: " ", count: 1 << 20) + " \n")
        #expect(try client.nextReply()["id"]?.intValue == 1)
        let refusal = try client.nextReply()
        #expect(refusal["id"] == .null)
        #expect(refusal["error"]?["code"]?.intValue == -32600)
        #expect(try client.receiveLine() == nil)
    }

    @Test func theLongestLineIsServed() throws {
        let line = requestText("1", "daemon.info")
        try client.send(text: line + String(repeating: " ", count: (1 << 20) - line.utf8.count) + "\n")
        #expect(try client.nextReply()["id"]?.intValue == 1)
    }

    /// KiB of the daemon that are in memory.
    private func resident() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(daemon.process.pid)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(line.split(separator: " ").dropLast().last.flatMap { Int($0) })
    }

    /// Replies of a large batch do not gather in the daemon.
    @Test func aClientThatDoesNotReadIsPausedInsideABatch() throws {
        let watcher = try daemon.connect()
        try client.call("memory.create", #"{"size":524288}"#)
        let one = requestText("1", "memory.read", #"{"memory":1,"offset":0,"length":262144}"#)
        let before = try resident()
        try client.send(text: "[" + [String](repeating: one, count: 300).joined(separator: ",") + "]\n")
        // 100 MB of replies, of which the daemon has a few.
        for _ in 0..<200 { try watcher.call("daemon.info", "{}") }
        #expect(try resident() - before < 30_000)
        #expect(try client.nextReply().arrayValue?.count == 300)
    }

    /// Lines that do not end are on the user's account, on however many connections they are.
    @Test func linesThatDoNotEndAreBoundedForAUser() throws {
        let bounded = try RunningDaemon(configuration: "[limits]\nunfinished_bytes = \"64 KiB\"\n")
        let part = [UInt8](repeating: UInt8(ascii: " "), count: 1_000_000)
        let open = try (0..<2).map { _ in try bounded.connect() }
        for client in open { try client.send(bytes: [UInt8(ascii: "[")] + part) }
        // What they have sent is there before another is answered.
        let other = try bounded.connect()
        for _ in 0..<20 { try other.call("daemon.info", "{}") }
        let last = try bounded.connect()
        try last.send(bytes: [UInt8(ascii: "[")] + part)
        let refusal = try JSONValue(parsing: try #require(try last.receiveLine()))
        #expect(refusal["error"]?["code"] == .integer(-Int(EDQUOT)))
        #expect(refusal["error"]?["data"]?["key"] == .string("limits.unfinished_bytes"))
        try other.call("daemon.info", "{}")
    }
}
