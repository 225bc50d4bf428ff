import Glibc
import Testing

@testable import JSONRPC

/// What the methods under test act on.
final class Workbench {
    var parked: [ParkedCall] = []
    var cancelled = 0
    var calls: [String] = []
}

enum Direction: String, ParameterChoice { case read, write }

func workbenchMethods() -> MethodTable<Workbench> {
    var methods = MethodTable<Workbench>()
    methods.declare("ioas.map", "Map.", changesState: true) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let offset = m.param("offset", .address, default: 0, "Offset.")
        let length = m.param("length", .address, "Length.")
        let iova = m.optional("iova", .address, "Where.")
        let access = m.param("access", .flags(["read", "write"]), "Access.")
        let place = m.result("iova", .hex, "Where.")
        let names = m.result("access", .flags(["read", "write"]), "Access.")
        m.refuses(ENOENT, "unknown_ioas", "No such IOAS.")
        return { call, bench in
            bench.calls.append("map \(call[ioas]) \(call[offset]) \(call[length])")
            guard call[ioas] != 99 else {
                throw RPCError(errno: ENOENT, reason: "unknown_ioas", message: "No IOAS 99.")
                    .with("ioas", .count(99))
            }
            return call.reply {
                $0.set(place, call[iova] ?? 0x1000)
                $0.set(names, bits: call[access].bits)
            }
        }
    }
    methods.declare("sum", "Add up nested values.") { m in
        struct Pair {
            let direction: Param<Direction>
            let value: Param<UInt64?>
        }
        let pairs = m.param(
            "pairs",
            .array(of: .object { Pair(direction: $0.param("direction", .choice(Direction.self), "Sign."),
                                      value: $0.optional("value", .address, "Value.")) }, count: 1...1000),
            "Pairs.")
        let words = m.optional("words", .array(of: .array(of: .address, count: 2...2)), "Words.")
        let total = m.result("total", .count, "Sum.")
        let seen = m.result("seen", .array(of: .object { ($0.result("v", .hex, "Value."), $0.result("d", .string, "Direction.")) }), "All.")
        return { call, _ in
            var sum = 0
            call[pairs].forEach { element, f in
                let value = Int(element[f.value] ?? 0)
                sum += element[f.direction] == .write ? value : -value
            }
            call[words]?.forEach { pair in pair.forEach { sum += Int($0) } }
            return call.reply { r in
                r.set(total, sum)
                r.set(seen) { list in
                    call[pairs].forEach { element, f in
                        list.append { o, kind in
                            o.set(kind.0, element[f.value] ?? 0)
                            o.set(kind.1, element[f.direction].rawValue)
                        }
                    }
                }
            }
        }
    }
    methods.declare("park", "Wait.") { m in
        let name = m.optional("name", .string(maximumBytes: 8), "Name.")
        let answer = m.result("answer", .string, "Answer.")
        _ = answer
        return { call, bench in
            bench.calls.append("park \(call[name] ?? "-")")
            let parked = call.park { bench.cancelled += 1 }
            bench.parked.append(parked)
            return .later(parked)
        }
    }
    methods.declare("lie", "Reply otherwise than declared.") { m in
        _ = m.result("value", .count, "Value.")
        return { call, _ in call.reply() }
    }
    methods.declare("admin", "For administrators.", role: .admin) { _ in { call, _ in call.reply() } }
    methods.declare("crash", "Fail with an error of no known form.") { _ in
        struct Odd: Error {}
        return { _, _ in throw Odd() }
    }
    methods.declareDiscovery(title: "bench", version: "1")
    return methods
}

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
            send(#"{"jsonrpc":"2.0","id":"a\/1","method":"ioas.map","params":{"ioas":1,"iova":"0xffffffffffffffff","length":4096,"access":["read","write"]}}"#)
                == [#"{"jsonrpc":"2.0","id":"a\/1","result":{"iova":"0xffffffffffffffff","access":["read","write"]}}"#])
    }

    @Test func readsNestedParameters() throws {
        let reply = try call(
            "sum", #"{"pairs":[{"direction":"write","value":"0x10"},{"value":3,"direction":"read"},{"direction":"read"}],"words":[["0x1",2],[3,4]]}"#)
        #expect(reply["result"]?["total"] == .integer(23))
        #expect(reply["result"]?["seen"]?[1] == .object([.init(key: "v", value: .string("0x3")), .init(key: "d", value: .string("read"))]))
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
        #expect(document["result"]?["methods"]?.arrayValue?.count == 7)
    }
}
