import Testing

@testable import JSONRPC

/// The OpenRPC document, and replies held against it.
@Suite struct DiscoveryTests {
    let document = OpenRPC.document(
        workbenchMethods().declarations, title: "bench", version: "1.2.3",
        besides: DocumentSupplement(
            kinds: [EventKindDeclaration("told", "T.") { _ = $0.result("v", .hex, "V.") }],
            examples: [MethodExample("ioas.map", "M", #"{"ioas":1,"length":"0x1000"}"#, #"{"iova":"0x0","access":[]}"#)]
        ))

    /// The method, with what its references stand for.
    func method(_ name: String) throws -> JSONValue {
        let method = try #require(document["methods"]?.arrayValue?.first { $0["name"]?.stringValue == name })
        return OpenRPC.resolved(method, in: document)
    }

    @Test func namesEveryMethodOnce() {
        let names = document["methods"]?.arrayValue?.compactMap { $0["name"]?.stringValue }
        #expect(names == workbenchMethods().declarations.map(\.title))
        #expect(document["openrpc"] == .string("1.3.2"))
        #expect(document["info"]?["version"] == .string("1.2.3"))
    }

    @Test func describesParameters() throws {
        let map = try method("ioas.map")
        #expect(map["paramStructure"] == .string("by-name"))
        let parameters = try #require(map["params"]?.arrayValue)
        #expect(parameters.map { $0["name"]?.stringValue } == ["ioas", "length", "access", "offset", "iova"])
        #expect(parameters.map { $0["required"]?.boolValue } == [true, true, true, false, false])
        #expect(
            parameters[0]["schema"]?.text
                == #"{"oneOf":[{"type":"integer","minimum":0,"maximum":4294967295},"#
                + #"{"type":"string","pattern":"^0x[0-9A-Fa-f]+$"}]}"#)
        #expect(parameters[3]["schema"]?["default"] == .integer(0))
        #expect(parameters[3]["schema"]?["oneOf"]?[0]?["maximum"] == .unsigned(.max))
        #expect(parameters[2]["schema"]?.text == #"{"type":"array","items":{"type":"string","enum":["read","write"]}}"#)
        #expect(map["errors"]?[0]?["code"] == .integer(-2))
        #expect(map["errors"]?[0]?["data"]?["reasons"]?[0]?["reason"] == .string("unknown_ioas"))
        #expect(map["x-changes-state"] == .bool(true))
    }

    @Test func saysEachErrorCodeOnceWithAllItsReasons() throws {
        for method in try #require(document["methods"]?.arrayValue) {
            let codes = method["errors"]?.arrayValue?.compactMap { $0["code"]?.intValue } ?? []
            #expect(Set(codes).count == codes.count, "\(method["name"]?.text ?? "")")
        }
        let mistakes = try method("ioas.map")["errors"]?.arrayValue?.first { $0["code"] == .integer(-32602) }
        #expect(
            mistakes?["data"]?["reasons"]?.arrayValue?.compactMap { $0["reason"]?.stringValue } == [
                "missing_parameter", "unknown_parameter", "duplicate_parameter", "wrong_type", "negative",
                "over_64_bits", "bad_hex", "unknown_value",
            ])
        #expect(
            try method("fd.take")["errors"]?[0]?["data"]?["reasons"]?[0]?["reason"] == .string("descriptor_missing"))
        #expect(try method("admin")["errors"]?[0]?["data"]?["reasons"]?[0]?["reason"] == .string("not_allowed"))
        #expect(document["components"]?["errors"]?["MethodNotFound"]?["code"] == .integer(-32601))
    }

    @Test func describesNestedParametersAndResults() throws {
        let sum = try method("sum")
        let pairs = sum["params"]?[0]?["schema"]
        #expect(pairs?["minItems"] == .integer(1))
        #expect(pairs?["items"]?["required"]?.text == #"["direction"]"#)
        #expect(pairs?["items"]?["additionalProperties"] == .bool(false))
        let result = sum["result"]?["schema"]
        #expect(result?["properties"]?["total"]?["type"] == .string("integer"))
        #expect(result?["properties"]?["seen"]?["items"]?["properties"]?["v"]?["type"] == .string("string"))
    }

    @Test func namesObjectsByWhereTheyStand() throws {
        let schemas = try #require(document["components"]?["schemas"]?.objectValue?.map(\.key))
        #expect(Set(schemas).isSuperset(of: ["IoasMapReply", "SumPair", "SumSeen", "SumReply", "Error", "ErrorData"]))
        let sum = try #require(document["methods"]?.arrayValue?.first { $0["name"] == .string("sum") })
        #expect(sum["params"]?[0]?["schema"]?["items"]?.text == ##"{"$ref":"#/components/schemas/SumPair"}"##)
        #expect(sum["tags"]?.text == #"[{"name":"sum"}]"#)
    }

    @Test func describesNotificationsByTheirKind() throws {
        let event = try #require(document["x-notifications"]?[0])
        #expect(event["name"] == .string("event"))
        let resolved = OpenRPC.resolved(event, in: document)
        let told = resolved["schema"]?["oneOf"]?[0]
        #expect(told?["properties"]?["kind"]?["enum"]?.text == #"["told"]"#)
        #expect(told?["required"]?.text == #"["kind","v"]"#)
        #expect(resolved["schema"]?["discriminator"]?["mapping"]?["told"]?.stringValue?.hasSuffix("/EventTold") == true)
    }

    @Test func showsExamplesByParameter() throws {
        let example = try method("ioas.map")["examples"]?[0]
        #expect(
            example?["params"]?.text == #"[{"name":"ioas","value":1},{"name":"length","value":"0x1000"}]"#)
        #expect(example?["result"]?["value"]?["iova"] == .string("0x0"))
        #expect(try method("sum")["examples"] == nil)
    }

    @Test func describesDescriptorsAndRoles() throws {
        #expect(try method("fd.take")["x-takes-fds"]?.text == #"{"minimum":1,"maximum":1}"#)
        #expect(try method("fd.echo")["result"]?["schema"]?["properties"]?["fds"]?["type"] == .string("integer"))
        #expect(try method("admin")["x-role"] == .string("admin"))
    }

    /// One method whose result is written by `write`, called once.
    private func reply(_ body: @escaping (MethodBuilder) -> (ResultWriter) -> Void) throws -> JSONValue {
        var methods = MethodTable<Void>()
        methods.declare("m", "M.") { m in
            let write = body(m)
            return { call, _ in call.reply { write($0) } }
        }
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
        let line = #"{"jsonrpc":"2.0","id":1,"method":"m"}"# + "\n"
        _ = Dispatcher(methods, context: ()).consume(Array(line.utf8), from: connection)
        return try JSONValue(parsing: Array(connection.takeOutput().dropLast()))
    }

    @Test func writesEveryKindOfResult() throws {
        struct Range {
            let start: Field<Hex>
            let last: Field<Hex>
        }
        let made = try reply { m in
            func range(_ o: ResultBuilder) -> Range {
                Range(start: o.result("start", .hex, "S."), last: o.result("last", .hex, "L."))
            }
            let whole = m.result("whole", .object(range), "W.")
            let ranges = m.result("ranges", .array(of: .object(range)), "R.")
            let words = m.result("words", .array(of: .array(of: .hex)), "W.")
            let fields = m.result("fields", .map(of: .count), "F.")
            let name = m.result("name", .string, "N.")
            let free = m.result("free", .any, "F.")
            let ratio = m.result("ratio", .number, "R.")
            let bytes = m.result("bytes", .base64, "B.")
            _ = m.optionalResult("absent", .bool, "A.")
            return { r in
                r.set(whole) { o, f in
                    o.set(f.start, 0)
                    o.set(f.last, .max)
                }
                r.set(ranges) { list in
                    for start in [0x1000, 0xabcdef] as [UInt64] {
                        list.append { o, f in
                            o.set(f.start, start)
                            o.set(f.last, start + 1)
                        }
                    }
                }
                r.set(words) { list in
                    list.append { (inner: ListWriter<Hex>) in inner.append(1) }
                    list.append { (_: ListWriter<Hex>) in }
                }
                r.set(fields) { map in map.set("quote\"", 7 as UInt64) }
                r.set(name, "a\"\\\u{1}é")
                r.set(free) { json in json.array { $0.element().null() } }
                r.set(ratio, 0.5)
                r.set(bytes, [0xff, 0xee, 0xdd, 0xcc])
            }
        }
        #expect(
            made["result"]?.text
                == #"{"whole":{"start":"0x0","last":"0xffffffffffffffff"},"#
                + #""ranges":[{"start":"0x1000","last":"0x1001"},{"start":"0xabcdef","last":"0xabcdf0"}],"#
                + #""words":[["0x1"],[]],"fields":{"quote\"":7},"name":"a\"\\\u0001é","free":[null],"ratio":0.5,"#
                + #""bytes":"/+7dzA=="}"#)
    }

    @Test func noticesAMissingAndADoubledResult() throws {
        let missing = try reply { m in
            let one = m.result("one", .object { ($0.result("a", .count, "A."), $0.result("b", .count, "B.")) }, "O.")
            return { $0.set(one) { o, f in o.set(f.0, 1) } }
        }
        #expect(missing["error"]?["data"]?["reason"] == .string("reply_mismatch"))
        #expect(missing["error"]?["message"]?.stringValue?.contains("one.b") == true)
        let doubled = try reply { m in
            let one = m.result("one", .count, "O.")
            return { r in
                r.set(one, 1)
                r.set(one, 2)
            }
        }
        #expect(doubled["error"]?["data"]?["reason"] == .string("reply_mismatch"))
    }
}
