import Testing

@testable import JSONRPC

/// Every type of parameter: what it accepts, what it reads, and how it refuses.
@Suite struct ParameterTests {
    @Test(arguments: [
        ("0", "0"), ("18446744073709551615", "18446744073709551615"), ("\"0x0\"", "0"), ("-0", "0"),
        ("\"0xffffffffffffffff\"", "18446744073709551615"), ("\"0xFfFf\"", "65535"),
        ("\"0x00000000000000000000001\"", "1"), ("\"\\u0030x10\"", "16"),
        ("18446744073709551616", "-32602 over_64_bits p"), ("\"0x10000000000000000\"", "-32602 over_64_bits p"),
        ("-1", "-32602 negative p"), ("-9223372036854775809", "-32602 over_64_bits p"), ("\"0x\"", "-32602 bad_hex p"),
        ("\"\"", "-32602 bad_hex p"), ("\"10\"", "-32602 bad_hex p"), ("\"0xg\"", "-32602 bad_hex p"),
        ("\"0x1 \"", "-32602 bad_hex p"), ("\"-0x1\"", "-32602 bad_hex p"), ("\"0X1\"", "-32602 bad_hex p"),
        ("1.0", "-32602 wrong_type p"), ("1e3", "-32602 wrong_type p"), ("true", "-32602 wrong_type p"),
        ("null", "-32602 wrong_type p"), ("[]", "-32602 wrong_type p"), ("{}", "-32602 wrong_type p"),
    ])
    func address(json: String, expected: String) throws {
        #expect(try outcome(.address, json) { "\($0)" } == expected)
    }

    @Test(arguments: [
        ("1", "1"), ("4294967295", "4294967295"), ("4294967296", "4294967295"), ("18446744073709551615", "4294967295"),
        ("\"1\"", "-32602 bad_hex p"), ("\"0x1\"", "1"), ("\"0x1ffffffff\"", "4294967295"),
        ("-1", "-32602 negative p"), ("1.0", "-32602 wrong_type p"), ("1e3", "-32602 wrong_type p"),
    ])
    func id(json: String, expected: String) throws {
        #expect(try outcome(.id, json) { "\($0)" } == expected)
    }

    @Test(arguments: [
        ("4", "4"), ("8", "8"), ("3", "-22 out_of_range p"), ("9", "-22 out_of_range p"),
        ("\"0x4\"", "4"), ("\"0x9\"", "-22 out_of_range p"), ("\"4\"", "-32602 bad_hex p"),
        ("4.0", "-32602 wrong_type p"),
    ])
    func count(json: String, expected: String) throws {
        #expect(try outcome(.count(4...8), json) { "\($0)" } == expected)
    }

    @Test(arguments: [
        ("true", "true"), ("false", "false"), ("0", "-32602 wrong_type p"), ("\"true\"", "-32602 wrong_type p"),
    ])
    func bool(json: String, expected: String) throws {
        #expect(try outcome(.bool, json) { "\($0)" } == expected)
    }

    @Test(arguments: [
        ("\"abc\"", "abc"), ("\"\\u00e9x\"", "éx"), ("\"abcde\"", "-22 too_long p"), ("\"ABC\"", "-22 bad_format p"),
        ("1", "-32602 wrong_type p"), ("\"\"", ""),
    ])
    func string(json: String, expected: String) throws {
        let lower = StringPattern("^[^A-Z]*$") { bytes in !bytes.contains { (65...90).contains($0) } }
        #expect(try outcome(.string(maximumBytes: 4, pattern: lower), json) { $0 } == expected)
    }

    @Test(arguments: [
        ("\"read\"", "read"), ("\"write\"", "write"), ("\"wr\\u0069te\"", "write"),
        ("\"Read\"", "-32602 unknown_value p"),
        ("\"\"", "-32602 unknown_value p"), ("1", "-32602 wrong_type p"),
    ])
    func choice(json: String, expected: String) throws {
        #expect(try outcome(.choice(Direction.self), json) { $0.rawValue } == expected)
    }

    @Test(arguments: [
        ("[]", "0"), ("[\"a\"]", "1"), ("[\"nest_parent_of\",\"a\"]", "3"), ("[\"a\",\"a\"]", "1"),
        ("[\"nest_parent_ox\"]", "-32602 unknown_value p[0]"), ("[\"a\",1]", "-32602 wrong_type p[1]"),
        ("\"a\"", "-32602 wrong_type p"), ("{}", "-32602 wrong_type p"),
    ])
    func flags(json: String, expected: String) throws {
        #expect(try outcome(.flags(["a", "nest_parent_of"]), json) { "\($0.bits)" } == expected)
    }

    @Test(arguments: [
        ("\"\"", "[]"), ("\"AA==\"", "[0]"), ("\"AAE=\"", "[0, 1]"), ("\"AAEC\"", "[0, 1, 2]"),
        ("\"\\/+8=\"", "[255, 239]"),
        ("\"AAECAw==\"", "[0, 1, 2, 3]"), ("\"AAECAwQ=\"", "-22 too_long p"), ("\"A\"", "-32602 bad_base64 p"),
        ("\"AA=\"", "-32602 bad_base64 p"), ("\"A===\"", "-32602 bad_base64 p"), ("\"AB==\"", "-32602 bad_base64 p"),
        ("\"A A=\"", "-32602 bad_base64 p"), ("\"AA==AA==\"", "-32602 bad_base64 p"),
        ("\"-_8=\"", "-32602 bad_base64 p"),
    ])
    func base64(json: String, expected: String) throws {
        #expect(try outcome(.base64(maximumBytes: 4), json) { "\($0.decoded())" } == expected)
    }

    @Test(arguments: [
        ("[[1,\"0x2\"],[3,4]]", "[[1, 2], [3, 4]]"), ("[[1,2]]", "[[1, 2]]"), ("[]", "-22 wrong_count p"),
        ("[[1]]", "-22 wrong_count p[0]"), ("[[1,2],[1,2,3]]", "-22 wrong_count p[1]"),
        ("[1]", "-32602 wrong_type p[0]"),
        ("[[1,2],[1,-2]]", "-32602 negative p[1][1]"),
    ])
    func nestedArrays(json: String, expected: String) throws {
        let pairs = ParamType<List<List<UInt64>>>.array(of: .array(of: .address, count: 2...2), count: 1...3)
        #expect(try outcome(pairs, json) { "\($0.map { $0.map { $0 } })" } == expected)
    }

    @Test(arguments: [
        ("{\"type\":\"x\",\"ste\":[1]}", "x [1] nil false"),
        ("{\"ste\":[],\"type\":\"\",\"n\":\"0x5\",\"b\":true}", " [] 5 true"),
        ("{\"type\":\"x\",\"ste\":[1],\"n\":null,\"b\":null}", "x [1] nil false"),
        ("{\"type\":\"x\"}", "-32602 missing_parameter p.ste"),
        ("{\"type\":null,\"ste\":[]}", "-32602 wrong_type p.type"),
        ("{\"type\":\"x\",\"ste\":[\"q\"]}", "-32602 bad_hex p.ste[0]"),
        ("{\"type\":\"x\",\"ste\":[],\"extra\":1}", "-32602 unknown_parameter p.extra"),
        ("{\"type\":\"x\",\"ste\":[],\"type\":\"y\"}", "-32602 duplicate_parameter p.type"),
        ("[]", "-32602 wrong_type p"),
    ])
    func objects(json: String, expected: String) throws {
        struct Fields {
            let type: Param<String>
            let ste: Param<List<UInt64>>
            let n: Param<UInt64?>
            let b: Param<Bool>
        }
        let object = ParamType<Object<Fields>>.object { o in
            Fields(
                type: o.param("type", .string(), "T."), ste: o.param("ste", .array(of: .address), "S."),
                n: o.optional("n", .address, "N."), b: o.param("b", .bool, default: false, "B."))
        }
        let made = try outcome(object, json) { o in
            let number = o[o.fields.n].map { "\($0)" } ?? "nil"
            return "\(o[o.fields.type]) \(o[o.fields.ste].map { $0 }) \(number) \(o[o.fields.b])"
        }
        #expect(made == expected)
    }

    @Test func nameOrID() throws {
        #expect(try outcome(.nameOrID, "\"a\\nb\"") { "\($0)" } == #"name("a\nb")"#)
        #expect(try outcome(.nameOrID, "7") { "\($0)" } == "id(7)")
        #expect(try outcome(.nameOrID, "-7") { "\($0)" } == "-32602 negative p")
        #expect(try outcome(.any, #"{"a":[1,null]}"#) { $0.text } == #"{"a":[1,null]}"#)
    }

    @Test func defaultsAndAbsence() throws {
        var methods = MethodTable<Void>()
        var seen: [String] = []
        methods.declare("m", "M.") { m in
            let size = m.param("size", .address, default: 4096, "Size.")
            let way = m.param("way", .choice(Direction.self), default: .write, "Way.")
            let name = m.optional("name", .string(), "Name.")
            let list = m.optional("list", .array(of: .id), "List.")
            return { call, _ in
                let count = call[list].map { "\($0.count)" } ?? "nil"
                seen.append("\(call[size]) \(call[way]) \(call[name] ?? "nil") \(count)")
                return call.reply()
            }
        }
        let dispatcher = Dispatcher(methods, context: ())
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
        let all = #"{"list":[1,2],"name":"n","way":"read","size":1}"#
        for params in ["{}", #"{"size":null,"way":null,"name":null,"list":null}"#, all, "null"] {
            let line = #"{"jsonrpc":"2.0","id":1,"method":"m","params":\#(params)}"# + "\n"
            _ = dispatcher.consume(Array(line.utf8), from: connection)
        }
        #expect(seen == ["4096 write nil nil", "4096 write nil nil", "1 read n 2", "4096 write nil nil"])
    }

    /// A request has to be right before its values are looked at.
    @Test(arguments: [
        (#"{"small":9,"text":1}"#, "-32602 wrong_type text"), (#"{"text":1,"small":9}"#, "-32602 wrong_type text"),
        (#"{"small":9,"text":"a","more":1}"#, "-32602 unknown_parameter more"),
        (#"{"small":9,"text":"a","text":"b"}"#, "-32602 duplicate_parameter text"),
        (#"{"small":9}"#, "-32602 missing_parameter text"),
        (#"{"small":9,"text":"abcde"}"#, "-22 out_of_range small"),
        (#"{"text":"abcde","small":9}"#, "-22 too_long text"),
        (#"{"small":9,"text":"a","inner":{"small":9,"text":1}}"#, "-32602 wrong_type inner.text"),
        (#"{"inner":{"small":9,"text":"a"},"text":1,"small":1}"#, "-32602 wrong_type text"),
        (#"{"inner":{"small":9,"text":"a"},"text":"a","small":1}"#, "-22 out_of_range inner.small"),
        (#"{"small":9,"text":"a","inner":{"small":9}}"#, "-32602 missing_parameter inner.text"),
        (#"{"inner":{"text":"abcde","small":[]},"text":"a","small":9}"#, "-32602 wrong_type inner.small"),
        (#"{"small":1,"text":"a","numbers":[1,9,2,"x"]}"#, "-32602 bad_hex numbers[3]"),
        (#"{"small":1,"text":"a","numbers":[1,9,2,8]}"#, "-22 out_of_range numbers[1]"),
        (#"{"small":1,"text":"a","numbers":[1,1,1,1,1,-1]}"#, "-32602 negative numbers[5]"),
        (#"{"small":1,"text":"a","numbers":[1,1,1,1,1]}"#, "-22 wrong_count numbers"),
        (#"{"small":1,"text":1,"numbers":[1,9]}"#, "-32602 wrong_type text"),
        (#"{"numbers":[1,9],"small":1,"text":1}"#, "-32602 wrong_type text"),
        (
            #"{"small":1,"text":"a","list":[{"small":1,"text":"a"},{"small":9,"text":"a"},{"small":1,"x":1}]}"#,
            "-32602 unknown_parameter list[2].x"
        ),
        (
            #"{"small":1,"text":"a","list":[{"small":1,"text":"a"},{"small":9,"text":"a"},{"small":8,"text":"a"}]}"#,
            "-22 out_of_range list[1].small"
        ),
        (
            #"{"small":1,"text":"a","list":[{"small":9,"text":"a"},{"small":9,"text":"abcde"},{"small":9}]}"#,
            "-32602 missing_parameter list[2].text"
        ),
    ])
    func mistakesComeBeforeRefusals(params: String, expected: String) throws {
        #expect(try refusal(of: params) == expected)
    }

    /// Elements that look like the one before are not read one by one.
    @Test(arguments: [3, 40, 1000]) func mistakesComeBeforeRefusalsInLongLists(count: Int) throws {
        for (bad, worse) in [(0, count - 1), (count / 2, count - 1), (count - 2, count - 1), (count - 1, count / 2)] {
            var elements = [String](repeating: #"{"small":1,"text":"a"}"#, count: count)
            elements[bad] = #"{"small":9,"text":"a"}"#
            func params() -> String { #"{"small":1,"text":"a","list":[\#(elements.joined(separator: ","))]}"# }
            #expect(try refusal(of: params()) == "-22 out_of_range list[\(bad)].small")
            elements[worse] = #"{"small":-1,"text":"a"}"#
            #expect(try refusal(of: params()) == "-32602 negative list[\(worse)].small")
            elements[worse] = #"{"small":"1","text":"a"}"#
            #expect(try refusal(of: params()) == "-32602 bad_hex list[\(worse)].small")
            elements[worse] = #"{"small":true,"text":"a"}"#
            #expect(try refusal(of: params()) == "-32602 wrong_type list[\(worse)].small")
        }
    }

    /// Code, reason and parameter of the refusal of a call with these parameters.
    private func refusal(of params: String) throws -> String {
        let inner = ParamType<Object<(Param<UInt32>, Param<String>)>>.object { o in
            (o.param("small", .count(0...4), "Small."), o.param("text", .string(maximumBytes: 4), "Text."))
        }
        var methods = MethodTable<Void>()
        methods.declare("m", "M.") { m in
            _ = m.param("small", .count(0...4), "Small.")
            _ = m.param("text", .string(maximumBytes: 4), "Text.")
            _ = m.optional("inner", inner, "Inner.")
            _ = m.optional("numbers", .array(of: .count(0...4), count: 0...4), "Numbers.")
            _ = m.optional("list", .array(of: inner), "List.")
            return { call, _ in call.reply() }
        }
        let dispatcher = Dispatcher(methods, context: ())
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
        let line = #"{"jsonrpc":"2.0","id":1,"method":"m","params":\#(params)}"# + "\n"
        _ = dispatcher.consume(Array(line.utf8), from: connection)
        let error = try JSONValue(parsing: Array(connection.takeOutput().dropLast()))["error"]
        let data = error?["data"]
        let words = [data?["reason"]?.stringValue, data?["parameter"]?.stringValue].compactMap { $0 }
        return "\(error?["code"]?.intValue ?? 0) \(words.joined(separator: " "))"
    }
}
