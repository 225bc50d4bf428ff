import Glibc
import Testing

@testable import JSONRPC

/// JSON-RPC 2.0 and what the contract adds to it, over bytes in memory.
@Suite struct ProtocolTests {
    let bench = Workbench()
    let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
    let dispatcher: Dispatcher

    init() { dispatcher = Dispatcher(workbenchMethods(), context: bench) }

    func send(_ text: String) -> [String] {
        let rest = dispatcher.consume(Array((text + "\n").utf8), from: connection)
        #expect(rest.isEmpty)
        return String(decoding: connection.takeOutput(), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func reply(_ text: String) throws -> JSONValue {
        let lines = send(text)
        #expect(lines.count == 1)
        return try JSONValue(parsing: try #require(lines.first))
    }

    // MARK: Ids

    @Test(arguments: [
        "1", "-1", "0", "1.5", "1e3", "-0", "18446744073709551616", "null", "\"\"", "\"a\\u00e9\\/b\"", "\"\\n\"",
        "123456789012345678901234567890",
    ])
    func echoesTheIdByteForByte(id: String) {
        let line = #"{"jsonrpc":"2.0","id":\#(id),"method":"fd.echo","params":{"count":0}}"#
        #expect(send(line) == [#"{"jsonrpc":"2.0","id":\#(id),"result":{}}"#])
        let error = send(#"{"id": \#(id) ,"method":"nope","jsonrpc":"2.0"}"#)[0]
        #expect(error.hasPrefix(#"{"jsonrpc":"2.0","id":\#(id),"error":{"code":-32601,"#))
    }

    @Test(arguments: ["true", "[]", "{}", "[1]"])
    func refusesOtherIds(id: String) throws {
        let error = try reply(#"{"jsonrpc":"2.0","id":\#(id),"method":"note","params":{"text":"x"}}"#)
        #expect(error["id"] == .null)
        #expect(error["error"]?["code"] == .integer(-32600))
        #expect(bench.calls.isEmpty)
    }

    // MARK: Requests

    @Test(arguments: [
        ("1", "null"), ("\"x\"", "null"), ("{}", "null"), ("null", "null"),
        (#"{"jsonrpc":"2.0","id":1}"#, "1"), (#"{"id":2,"method":"note"}"#, "2"),
        (#"{"jsonrpc":"1.0","id":3,"method":"note"}"#, "3"), (#"{"jsonrpc":2.0,"id":4,"method":"note"}"#, "4"),
        (#"{"jsonrpc":"2.0","id":5,"method":1}"#, "5"), (#"{"jsonrpc":"2.0","method":1,"params":"bar"}"#, "null"),
        (#"{"jsonrpc":"2.0","id":6,"method":"note","method":"note"}"#, "null"),
        (#"{"jsonrpc":"2.0","id":7,"id":8,"method":"note"}"#, "null"),
    ])
    func refusesWhatIsNoRequest(line: String, id: String) throws {
        let error = try reply(line)
        #expect(error["id"]?.text == id)
        #expect(error["error"]?["code"] == .integer(-32600))
        let data = try #require(error["error"]?["data"])
        #expect(data["errno"] == .string("EINVAL"))
        #expect(data["reason"] == .string("invalid_request"))
        #expect(data["method"] == .null)
        #expect(bench.calls.isEmpty)
    }

    @Test func ignoresMembersItDoesNotKnow() throws {
        let line = #"{"extra":[{"id":9}],"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"x"},"x":{}}"#
        #expect(try reply(line)["result"]?["length"] == .integer(1))
    }

    @Test func readsEscapedMemberNames() throws {
        let line = #"{"jsonrpc":"\u0032.0","i\u0064":1,"m\u0065thod":"n\u006fte","params":{"t\u0065xt":"a\tb"}}"#
        #expect(try reply(line)["result"]?["length"] == .integer(3))
        #expect(bench.calls == ["a\tb"])
    }

    @Test(arguments: ["[]", "[1]", "1", "\"x\"", "true"])
    func takesParametersByNameOnly(params: String) throws {
        let error = try reply(#"{"jsonrpc":"2.0","id":1,"method":"note","params":\#(params)}"#)
        #expect(error["error"]?["code"] == .integer(-32602))
        #expect(error["error"]?["data"]?["method"] == .string("note"))
    }

    @Test func takesAbsentParametersForNone() throws {
        #expect(try reply(#"{"jsonrpc":"2.0","id":1,"method":"fd.echo","params":{"count":0}}"#)["result"] != nil)
        let missing = try reply(#"{"jsonrpc":"2.0","id":1,"method":"note"}"#)
        #expect(missing["error"]?["data"]?["parameter"] == .string("text"))
        #expect(missing["error"]?["data"]?["reason"] == .string("missing_parameter"))
    }

    // MARK: Notifications

    @Test func answersNoNotification() {
        #expect(send(#"{"jsonrpc":"2.0","method":"note","params":{"text":"heard"}}"#).isEmpty)
        #expect(bench.calls == ["heard"])
        for method in ["nope", "note", "crash", "admin", "lie"] {
            #expect(send(#"{"jsonrpc":"2.0","method":"\#(method)"}"#).isEmpty)
        }
        #expect(send(#"{"jsonrpc":"2.0","method":"note","params":[1]}"#).isEmpty)
    }

    @Test func waitsForAParkedNotification() {
        #expect(send(#"{"jsonrpc":"2.0","method":"park"}"#).isEmpty)
        let rest = dispatcher.consume(Array("\n".utf8), from: connection)
        #expect(!rest.isEmpty)
        #expect(bench.parked[0].reply { _ in Issue.record("a notification has no result to write") })
        #expect(connection.takeOutput().isEmpty)
        #expect(!bench.parked[0].reply())
    }

    // MARK: Batches

    @Test func answersABatchInOneLine() throws {
        let replies = try reply(
            #" [ {"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"a"}} , 1,"x", {"jsonrpc":"2.0","#
                + #""method":"note","params":{"text":"b"}},[],{"jsonrpc":"2.0","id":"2","method":"nope"}] "#)
        #expect(replies.arrayValue?.map { $0["id"]?.text } == ["1", "null", "null", "null", "\"2\""])
        #expect(replies.arrayValue?.map { $0["error"]?["code"]?.intValue } == [nil, -32600, -32600, -32600, -32601])
        #expect(bench.calls == ["a", "b"])
    }

    @Test func answersNothingToABatchOfNotifications() {
        let note = #"{"jsonrpc":"2.0","method":"note","params":{"text":"a"}}"#
        #expect(send("[\(note),\(note)]").isEmpty)
        #expect(bench.calls == ["a", "a"])
    }

    @Test func refusesEmptyAndOverlongBatchesOnce() throws {
        #expect(try reply("[]")["error"]?["code"] == .integer(-32600))
        let note = #"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"a"}}"#
        var limits = Limits()
        limits.batch = 3
        let strict = Dispatcher(workbenchMethods(), context: bench, limits: limits)
        let lines = ["[\(note),\(note),\(note),\(note)]", "[\(note),\(note),\(note)]"]
        _ = strict.consume(Array((lines.joined(separator: "\n") + "\n").utf8), from: connection)
        let replies = String(decoding: connection.takeOutput(), as: UTF8.self).split(separator: "\n")
        #expect(replies.count == 2)
        #expect(try JSONValue(parsing: String(replies[0]))["error"]?["code"] == .integer(-32600))
        #expect(try JSONValue(parsing: String(replies[1])).arrayValue?.count == 3)
        #expect(bench.calls.count == 3)
    }

    @Test func refusesABatchThatIsMalformedAnywhere() throws {
        let note = #"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"a"}}"#
        #expect(try reply("[\(note),\(note)")["error"]?["code"] == .integer(-32700))
        #expect(try reply("[\(note),]")["error"]?["code"] == .integer(-32700))
        #expect(bench.calls.isEmpty)
    }

    @Test func goesOnWithABatchAfterEachParkedCall() throws {
        let park = #"{"jsonrpc":"2.0","id":"p","method":"park","params":{"name":"\u0061"}}"#
        let note = #"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"n"}}"#
        var rest = Array("[ \(park) , \(note),\(park) , \"x\" , \(park)]\n\(note)\n".utf8)
        for round in 0..<3 {
            rest = dispatcher.consume(rest, from: connection)
            #expect(bench.parked.count == round + 1)
            bench.parked[round].reply()
        }
        rest = dispatcher.consume(rest, from: connection)
        #expect(rest.isEmpty)
        #expect(bench.calls == ["park a", "n", "park a", "park a", "n"])
        let lines = String(decoding: connection.takeOutput(), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2)
        let batch = try JSONValue(parsing: String(lines[0]))
        #expect(batch.arrayValue?.map { $0["id"]?.text } == ["\"p\"", "1", "\"p\"", "null", "\"p\""])
    }

    // MARK: Refusals

    @Test func tellsErrnoReasonMethodObjectsAndHint() throws {
        let error = try #require(
            try reply(#"{"jsonrpc":"2.0","id":1,"method":"ioas.map","params":{"ioas":99,"length":1,"access":[]}}"#)[
                "error"])
        #expect(error["code"] == .integer(-2))
        #expect(
            error["data"]?.text
                == #"{"errno":"ENOENT","reason":"unknown_ioas","method":"ioas.map","hint":"Allocate one.","ioas":99}"#)
    }

    @Test func withdrawsAReplyWhenTheHandlerFailsAfterIt() throws {
        let line = #"{"jsonrpc":"2.0","id":1,"method":"change.mind"}"#
        #expect(try reply(line)["error"]?["data"]?["reason"] == .string("after_all"))
        let batch = try reply("[\(line),\(line)]")
        #expect(batch.arrayValue?.compactMap { $0["error"]?["code"]?.intValue } == [-5, -5])
    }

    @Test func keepsAdministratorsMethodsFromOthers() throws {
        let line = #"{"jsonrpc":"2.0","id":1,"method":"admin"}"#
        let error = try reply(line)["error"]
        #expect(error?["code"] == .integer(-1))
        #expect(error?["data"]?["reason"] == .string("not_allowed"))
        connection.isAdmin = true
        #expect(try reply(line)["result"] == .object([]))
    }

    @Test func countsCallsAndErrorsAndReportsRefusals() throws {
        var refused: [String] = []
        dispatcher.onRefusal = { _, method, error, cause in
            refused.append("\(method ?? "-") \(error.reason) \(cause == nil ? "" : "thrown")")
        }
        for line in [#""method":"nope""#, #""method":"crash""#, #""method":"note""#, #""method":"fd.take""#] {
            _ = send(#"{"jsonrpc":"2.0","id":1,\#(line)}"#)
        }
        _ = send("{")
        #expect(
            refused == [
                "nope unknown_method ", "crash internal_error thrown", "note missing_parameter ",
                "fd.take descriptor_missing thrown", "- parse_error ",
            ])
        let crash = try #require(dispatcher.declarations.firstIndex { $0.title == "crash" })
        #expect(dispatcher.statistics[crash].calls == 1)
        #expect(dispatcher.statistics[crash].errors == 1)
    }
}
