import Foundation
import JSONRPC
import TestSupport
import Testing

/// The rules of lines, ids, numbers and batches, line by line.
struct FramingTests {
    private let client: PlayedClient

    init() throws { client = try ServiceBench().connect() }

    private func text() throws -> String { String(decoding: try #require(try client.receiveLine()), as: UTF8.self) }

    @Test(arguments: ["\n", "\r\n", "  \n", "\t \r\n", " \r\n\n\n \n"])
    func linesOfWhiteSpaceAreNoRequests(space: String) throws {
        try client.send(
            text: space + requestText("1", "daemon.info") + space + requestText("2", "daemon.info") + "\n" + space)
        #expect(try client.nextReply()["id"]?.intValue == 1)
        #expect(try client.nextReply()["id"]?.intValue == 2)
        try client.expectServed()
    }

    @Test(arguments: ["{", "[", #"{"jsonrpc":"2.0","#, #"{"a":"b"#, "[1,", #"{"a": [true"#, "-", "tru", #"{"a":n"#])
    func aLineThatEndsInsideAValueSaysWhatALineIs(line: String) throws {
        try client.send(text: line + "\r\n")
        let reply = try client.nextReply()
        #expect(reply["id"] == .null)
        #expect(reply["error"]?["code"]?.intValue == -32700)
        #expect(reply["error"]?["message"]?.stringValue?.contains("one JSON value a line") == true, "\(reply.text)")
        try client.expectServed()
    }

    @Test func indentedJSONCostsAnErrorForEachOfItsLines() throws {
        try client.send(text: "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": 1,\n  \"method\": \"daemon.info\"\n}\n")
        for _ in 0..<5 { #expect(try client.nextReply()["error"]?["code"]?.intValue == -32700) }
        try client.expectServed()
    }

    @Test(arguments: [
        ("\u{feff}{}", -32700), (#"{"jsonrpc":"2.0","id":1,"method":"daemon.info"} {}"#, -32700),
        ("\"x\"", -32600), ("null", -32600), ("[]", -32600),
        (String(repeating: "[", count: 65) + String(repeating: "]", count: 65), -32600),
        (#"{"jsonrpc":"2.0","id":{},"method":"daemon.info"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":true,"method":"daemon.info"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"id":1,"method":"daemon.info"}"#, -32600),
    ])
    func whatIsNoRequestIsOneErrorWithoutID(line: String, code: Int) throws {
        try client.send(text: line + "\n")
        let reply = try client.nextReply()
        #expect(reply["id"] == .null, "\(reply.text)")
        #expect(reply["error"]?["code"]?.intValue == code, "\(reply.text)")
        try client.expectServed()
    }

    @Test(arguments: [
        "0", "-0", "7", "12345678901234567890123456789", "1.50", "1e3", "-2.5E-3", #""x""#, #""\u0041\n\"""#, "null",
        #""""#,
    ])
    func anIDComesBackByteForByte(id: String) throws {
        try client.send(text: requestText(id, "daemon.info") + "\n")
        #expect(try text().hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"#))
        try client.send(text: requestText(id, "nothing.at.all") + "\n")
        #expect(try text().hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"#))
    }

    @Test(arguments: ["1.0", "1e3", "-1", "true", #""12""#, #""0x""#, #""0xg""#, #""0x1_0""#, "18446744073709551616"])
    func whatIsNoIntegerIsAMistake(number: String) throws {
        try client.expectMistake("memory.create", #"{"size":\#(number)}"#, naming: "size")
    }

    @Test func nullIsAbsentAndUnknownKeysAreNamed() throws {
        #expect(try client.id("memory.create", #"{"size":"0x1000","name":null,"huge":null}"#, "memory") == 1)
        try client.expectMistake("memory.create", #"{"size":null}"#, naming: "size")
        try client.expectMistake("memory.create", #"{"size":4096,"sise":1}"#, naming: "sise")
        try client.expectMistake("memory.create", #"{"size":4096,"size":4096}"#, naming: "size")
        let missing = try client.refusal("memory.create", "{}")
        #expect(missing.code == -32602)
        try client.send(text: requestText("1", "memory.create", "[4096]") + "\n")
        #expect(try client.nextReply()["error"]?["code"]?.intValue == -32602)
    }

    @Test func aBatchOverTheLimitIsOneErrorAndNothingIsCarriedOut() throws {
        let one = #"{"jsonrpc":"2.0","id":1,"method":"ioas.alloc"}"#
        for (count, isCarriedOut) in [(10_000, true), (10_001, false)] {
            try client.send(text: "[" + [String](repeating: one, count: count).joined(separator: ",") + "]\n")
            let reply = try client.nextReply()
            if isCarriedOut {
                #expect(reply.arrayValue?.count == count)
            } else {
                #expect(reply["error"]?["code"]?.intValue == -32600)
                #expect(reply["id"] == .null)
            }
        }
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 10_001)
    }
}
