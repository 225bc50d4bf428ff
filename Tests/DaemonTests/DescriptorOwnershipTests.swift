import Foundation
import JSONRPC
import TestSupport
import Testing

/// A descriptor belongs to the lines that have a byte in the buffer it came with, as clients of the daemon see it.
struct DescriptorOwnershipTests {
    private let daemon: RunningDaemon
    private let client: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
    }

    private func memory(_ text: String) throws -> SharedMemory {
        let memory = try SharedMemory(size: 4096)
        memory.bytes.copyBytes(from: text.utf8)
        return memory
    }

    private func line(_ id: Int, _ method: String = "memory.import", _ params: String = "{}") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"# + "\n"
    }

    private func send(_ text: String, _ memories: SharedMemory...) throws {
        try client.send(bytes: Array(text.utf8), descriptors: memories.map(\.descriptor))
    }

    private func reply() throws -> JSONValue { try JSONValue(parsing: try #require(try client.receiveLine())) }

    /// The first bytes of the memory object that the next reply tells of; nil for EBADF.
    private func imported() throws -> String? {
        let reply = try reply()
        guard let id = reply["result"]?["memory"]?.intValue else {
            #expect(reply["error"]?["code"]?.intValue == -Int(EBADF), "\(reply.text)")
            return nil
        }
        let data = try client.call("memory.read", #"{"memory":\#(id),"offset":0,"length":1}"#)["data"]?.stringValue
        return data.flatMap { Data(base64Encoded: $0) }.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: [true, false])
    func aMistypedKeyMapsNoWrongMemory(isPipelined: Bool) throws {
        try send(line(1, "memory.import", #"{"nam":"x"}"#), try memory("A"))
        if !isPipelined { #expect(try reply()["error"]?["code"]?.intValue == -32602) }
        try send(line(2), try memory("B"))
        if isPipelined { #expect(try reply()["error"]?["code"]?.intValue == -32602) }
        #expect(try imported() == "B")
    }

    @Test func aPipeliningClientGetsWhatItSentWithEachLine() throws {
        // Plain exchanges first: the first descriptor of a connection is found as any other.
        for _ in 0..<5 { try client.call("daemon.info", "{}") }
        try send(line(1))
        try send(line(2), try memory("A"))
        try send(line(3))
        try send(line(4) + line(5) + line(6), try memory("B"), try memory("C"))
        try send("\n", try memory("D"))
        try send(" \r\n" + line(7))
        try send(line(8))
        var replies: [JSONValue] = []
        for _ in 0..<8 { replies.append(try reply()) }
        #expect(replies.map { $0["id"]?.intValue } == Array(1...8))
        let outcomes = replies.map { $0["result"]?["memory"]?.intValue }
        #expect(outcomes == [nil, 1, nil, 2, 3, nil, 4, nil])
        for (id, text) in zip(1...4, ["A", "B", "C", "D"]) {
            let data = try client.call("memory.read", #"{"memory":\#(id),"offset":0,"length":1}"#)["data"]?.stringValue
            #expect(data == text.base64)
        }
    }

    @Test func ofALongMessageOnlyTheBeginningIsItsBuffer() throws {
        let filler = String(repeating: " ", count: 200_000)
        try send(line(1, "daemon.info") + filler + "\n" + line(2), try memory("A"))
        #expect(try reply()["id"]?.intValue == 1)
        // White space counts to the request that follows, however long it is.
        #expect(try imported() == "A")
        let lines = (0..<3000).map { line($0, "daemon.nothing") }.joined()
        try send(lines + line(-1), try memory("B"))
        for id in 0..<3000 { #expect(try reply()["id"]?.intValue == id) }
        #expect(try imported() == nil)
    }

    @Test func nothingIsLeftOpen() throws {
        let other = try daemon.connect()
        func settled() throws -> Int {
            _ = try client.call("daemon.info")
            _ = try other.call("daemon.info")
            return daemon.process.descriptorCount
        }
        let before = try settled()
        for round in 0..<20 {
            try send(line(1, "memory.import", #"{"nam":"x"}"#), try memory("A"))
            #expect(try reply()["error"] != nil)
            try send("nonsense\n" + line(2, "daemon.info"), try memory("B"), try memory("C"))
            for _ in 0..<2 { _ = try reply() }
            try send(line(3) + line(4), try memory("D"))
            let id = try #require(try reply()["result"]?["memory"]?.intValue)
            #expect(try reply()["error"]?["code"]?.intValue == -Int(EBADF), "round \(round)")
            try client.call("memory.close", #"{"memory":\#(id)}"#)
        }
        #expect(try settled() == before)
        // Those that wait when a client leaves go with it.
        let leaving = try daemon.connect()
        _ = try leaving.call("daemon.info")
        let (one, two) = (try memory("E"), try memory("F"))
        try leaving.send(bytes: Array(#"{"jsonrpc":"2.0","#.utf8), descriptors: [one.descriptor, two.descriptor])
        while daemon.process.descriptorCount < before + 3 { _ = try client.call("daemon.info") }
        leaving.finishSending()
        while daemon.process.descriptorCount > before { _ = try client.call("daemon.info") }
        #expect(try settled() == before)
    }
}
