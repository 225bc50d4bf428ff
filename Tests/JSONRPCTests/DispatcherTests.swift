import Testing

@testable import JSONRPC

@Suite struct DispatcherTests {
    let bench = Workbench()
    let dispatcher: Dispatcher
    let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)

    init() { dispatcher = Dispatcher(workbenchMethods(), context: bench) }

    /// Sends whole lines; returns the lines that came back.
    func send(_ text: String) -> [String] {
        _ = dispatcher.consume(Array((text + "\n").utf8), from: connection)
        return String(decoding: connection.takeOutput(), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func call(_ method: String, _ params: String) throws -> JSONValue {
        let reply = try #require(send(#"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#).first)
        return try JSONValue(parsing: reply)
    }

    @Test func mapsWithAllParameters() {
        #expect(
            send(
                #"{"jsonrpc":"2.0","id":"a\/1","method":"ioas.map","params":{"ioas":1,"iova":"0xffffffffffffffff","#
                    + #""length":4096,"access":["read","write"]}}"#
            )
                == [#"{"jsonrpc":"2.0","id":"a\/1","result":{"iova":"0xffffffffffffffff","access":["read","write"]}}"#])
    }

    @Test func readsNestedParameters() throws {
        let reply = try call(
            "sum",
            #"{"pairs":[{"direction":"write","value":"0x10"},{"value":3,"direction":"read"},{"direction":"read"}],"#
                + #""words":[["0x1",2],[3,4]]}"#
        )
        #expect(reply["result"]?["total"] == .integer(23))
        #expect(
            reply["result"]?["seen"]?[1]
                == .object([.init(key: "v", value: .string("0x3")), .init(key: "d", value: .string("read"))]))
    }

    @Test func namesTheParameterThatIsWrong() throws {
        let reply = try call("sum", #"{"pairs":[{"direction":"write"},{"direction":"up"}]}"#)
        #expect(reply["error"]?["code"] == .integer(-32602))
        #expect(reply["error"]?["data"]?["parameter"] == .string("pairs[1].direction"))
        #expect(reply["error"]?["data"]?["method"] == .string("sum"))
    }

    @Test func checksRepliesAgainstTheirDeclaration() throws {
        let reply = try call("lie", "{}")
        #expect(reply["error"]?["data"]?["reason"] == .string("reply_mismatch"))
    }

    @Test func streamsBatchesWithParkedCalls() {
        let lines = send(
            #"[{"jsonrpc":"2.0","id":1,"method":"park","params":{"name":"x"}},{"jsonrpc":"2.0","method":"admin"},"#
                + #"{"jsonrpc":"2.0","id":2,"method":"nope"}]"#)
        #expect(lines.isEmpty)
        #expect(bench.calls == ["park x"])
        #expect(bench.parked[0].isWaiting)
    }

    @Test func answersUnknownErrorsOnce() throws {
        #expect(try call("crash", "{}")["error"]?["code"] == .integer(-32603))
        #expect(try call("ioas.map", #"{"ioas":99,"length":1,"access":[]}"#)["error"]?["data"]?["ioas"] == .integer(99))
    }

    @Test func describesItself() throws {
        let document = try call("rpc.discover", "{}")
        #expect(document["result"]?["methods"]?.arrayValue?.count == workbenchMethods().declarations.count)
    }
}
