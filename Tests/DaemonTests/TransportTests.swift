import Foundation
import JSONRPC
import TestSupport
import Testing

/// The rules of the socket, seen from outside.
struct TransportTests {
    private let daemon: RunningDaemon

    init() throws { daemon = try RunningDaemon() }

    @Test func aScriptThatOnlyWritesGetsAllItsAnswers() throws {
        let client = try daemon.connect()
        let fault = try client.id("fault.alloc", "{}", "fault")
        try client.send(
            bytes: Array(
                """
                {"jsonrpc":"2.0","id":"a","method":"fault.read","params":{"fault":\(fault),"timeout_ms":50}}\r

                {"jsonrpc":"2.0","method":"ioas.alloc"}
                [{"jsonrpc":"2.0","id":null,"method":"ioas.alloc"},{"jsonrpc":"2.0","method":"ioas.alloc"},7]
                {"jsonrpc":"2.0","id":1.5,"method":"session.objects"}
                """.utf8))
        client.finishSending()
        let first = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(first["id"]?.stringValue == "a")
        let batch = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(batch.arrayValue?.count == 2)
        #expect(batch[0]?["id"] == .null)
        #expect(batch[0]?["result"]?["ioas"]?.intValue == 3)
        #expect(batch[1]?["error"]?["code"]?.intValue == -32600)
        let last = String(decoding: try #require(try client.receiveLine()), as: UTF8.self)
        #expect(last.contains(#""id":1.5"#))
        #expect(try client.receiveLine() == nil)
    }

    @Test func mistakesOnTheWireCostOneErrorEach() throws {
        let client = try daemon.connect()
        let lines: [(String, Int)] = [
            ("{", -32700), ("[]", -32600), (#"{"jsonrpc":"1.0","id":1,"method":"daemon.info"}"#, -32600),
            (#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#, -32601),
            (#"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc","params":[1]}"#, -32602),
            (#"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc","params":{"x":1}}"#, -32602),
        ]
        for (line, code) in lines {
            try client.send(line: line)
            let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
            #expect(reply["error"]?["code"]?.intValue == code, "\(line)")
        }
        #expect(try client.call("daemon.info")["name"]?.stringValue == "iommud")
    }

    @Test func connectionsLeaveNothingBehind() throws {
        let watcher = try daemon.connect()
        _ = try watcher.call("daemon.info")
        func round() throws {
            let clients = try (0..<40).map { _ in try daemon.connect() }
            for (index, client) in clients.enumerated() {
                let memory = try SharedMemory(size: 4096)
                _ = try client.call("memory.import", "{}", descriptors: [memory.descriptor])
                _ = try client.call("memory.export", #"{"memory":1}"#)
                _ = client.takeDescriptors()
                _ = try client.call("ioas.alloc")
                // Descriptors that nobody takes go with the connection.
                if index % 2 == 0 { _ = try client.call("daemon.info", "{}", descriptors: [memory.descriptor]) }
            }
        }
        func waitUntilAlone() throws {
            while try watcher.call("daemon.stats")["gauges"]?["connections"]?.intValue != 1 {}
        }
        try round()
        try waitUntilAlone()
        let before = daemon.process.descriptorCount
        for _ in 0..<3 { try round() }
        try waitUntilAlone()
        #expect(daemon.process.descriptorCount == before)
        #expect(try watcher.call("daemon.stats")["gauges"]?["sessions"]?.intValue == 1)
    }

    @Test func manyDescriptorsAreSentAsTheClientTakesThem() throws {
        let client = try daemon.connect()
        try client.call("memory.create", #"{"size":4096}"#)
        let one = #"{"jsonrpc":"2.0","id":7,"method":"memory.export","params":{"memory":1}}"#
        // Four times what may wait to be sent, a line each and then in one batch.
        for line in [String](repeating: one, count: 64) { try client.send(line: line) }
        try client.send(line: "[" + [String](repeating: one, count: 64).joined(separator: ",") + "]")
        for _ in 0..<64 {
            let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
            #expect(reply["result"]?["fds"]?.intValue == 1)
        }
        let batch = try JSONValue(parsing: try #require(try client.receiveLine())).arrayValue ?? []
        #expect(batch.count == 64)
        #expect(batch.allSatisfy { $0["result"]?["fds"]?.intValue == 1 })
        #expect(client.takeDescriptors().count == 128)
    }

    @Test func manyConnectionsAreServedAtOnce() throws {
        let clients = try (0..<300).map { _ in try daemon.connect() }
        for client in clients { try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc"}"#) }
        for client in clients {
            let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
            #expect(reply["result"]?["ioas"]?.intValue == 1)
        }
    }

    @Test func aConnectionOverTheQuotaIsToldSo() throws {
        let daemon = try RunningDaemon(configuration: "[limits]\nconnections_per_uid = 2\n")
        let watcher = try daemon.connect()
        func waitUntilAlone() throws {
            while try watcher.call("daemon.stats")["gauges"]?["connections"]?.intValue != 1 {}
        }
        do {
            let second = try daemon.connect()
            _ = try second.call("daemon.info")
            let third = try daemon.connect()
            let refused = try JSONValue(parsing: try #require(try third.receiveLine()))
            #expect(refused["id"] == .null)
            #expect(refused["error"]?["code"]?.intValue == -Int(EDQUOT))
            #expect(refused["error"]?["data"]?["reason"]?.stringValue == "too_many_connections")
            #expect(try third.receiveLine() == nil)
            _ = try second.call("daemon.info")
        }
        try waitUntilAlone()
        _ = try daemon.connect().call("daemon.info")
    }

    @Test func theSeventeenthDescriptorIsRefused() throws {
        let client = try daemon.connect()
        let memory = try SharedMemory(size: 4096)
        let many = [Int32](repeating: memory.descriptor, count: 17)
        let lines = (1...17).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"memory.import"}"# }
        try client.send(line: lines.joined(separator: "\n"), descriptors: many)
        let refusal = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(refusal["id"] == .null)
        #expect(refusal["error"]?["code"]?.intValue == -Int(EMFILE))
        for id in 1...16 {
            let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
            #expect(reply["result"]?["memory"]?.intValue == id)
        }
        let last = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(last["id"]?.intValue == 17)
        #expect(last["error"]?["code"]?.intValue == -Int(EBADF))
        // None waits for what comes later.
        try client.expect(EBADF, "descriptor_missing", "memory.import")
    }
}
