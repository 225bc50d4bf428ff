import Foundation
import Testing

@testable import JSONRPC

/// Elements of an array that are like the one before are compared with it instead of being scanned. Whatever that
/// finds, a client must see no difference: each test compares the array as it is with the same elements spaced
/// differently, of which no two neighbours are alike.
@Suite struct LikeElementsTests {
    struct Fields {
        let id: Param<UInt32>
        let address: Param<UInt64>
        let size: Param<UInt32>
        let name: Param<String?>
        let flags: Param<Flags>
        let mode: Param<Direction>
    }

    /// What a call with these elements is answered with, or the description of its values.
    private func outcome<Value>(_ type: ParamType<Value>, _ text: String, describe: @escaping (Value) -> String) throws
        -> String
    {
        var methods = MethodTable<Void>()
        var seen = ""
        methods.declare("m", "M.") { m in
            let p = m.param("p", type, "P.")
            return { call, _ in
                seen = describe(call[p])
                return call.reply()
            }
        }
        let dispatcher = Dispatcher(methods, context: ())
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
        let line = #"{"jsonrpc":"2.0","id":1,"method":"m","params":{"p":"# + text + "}}\n"
        _ = dispatcher.consume(Array(line.utf8), from: connection)
        let reply = try JSONValue(parsing: Array(connection.takeOutput().dropLast()))
        guard let error = reply["error"] else { return seen }
        // The place in the text differs where spaces were added.
        let data = error["data"]
        return "\(error["code"]?.intValue ?? 0) \(data?["reason"]?.stringValue ?? "") "
            + "\(data?["parameter"]?.stringValue ?? "")"
    }

    private var objects: ParamType<List<Object<Fields>>> {
        .array(
            of: .object { o in
                Fields(
                    id: o.param("id", .id, "I."), address: o.param("address", .address, default: 7, "A."),
                    size: o.param("size", .count(1...1_000_000), default: 9, "S."),
                    name: o.optional("name", .string(maximumBytes: 20), "N."),
                    flags: o.param("flags", .flags(["a", "b"]), default: Flags(bits: 1), "F."),
                    mode: o.param("mode", .choice(Direction.self), default: .read, "M."))
            })
    }

    private func describe(_ list: List<Object<Fields>>) -> String {
        let elements = list.map { o in
            let f = o.fields
            return "\(o[f.id]) \(o[f.address]) \(o[f.size]) \(o[f.name] ?? "-") \(o[f.flags].bits) \(o[f.mode])"
        }
        return elements.joined(separator: "\n")
    }

    /// The array with `index` spaces, so never as many as in the neighbours, within each element.
    private func spaced(_ elements: [String]) -> String {
        let lines = elements.enumerated().map { index, element in
            element.prefix(1) + String(repeating: " ", count: index % 3) + element.dropFirst()
        }
        return "[" + lines.joined(separator: ",") + "]"
    }

    private func plain(_ elements: [String], _ separator: String = ",") -> String {
        "[" + elements.joined(separator: separator) + "]"
    }

    // MARK: Objects

    private static let numbers = [
        "0", "1", "9", "10", "42", "99", "100", "65535", "1000000", "1000001", "4294967296", "9999999999999999",
        "18446744073709551615", "18446744073709551616", "-1", "-0", "01", "1.5", "1e3", "\"0x0\"", "\"0xf\"",
        "\"0xFf\"", "\"0x00ff\"", "\"0x12345678\"", "\"0x123456789\"", "\"0xffffffffffffffff\"",
        "\"0x10000000000000000\"", "\"0xg1\"", "\"0x\"", "\"\\u0030x1\"", "null", "true", "\"a\"",
    ]

    private func element(_ random: inout SeededGenerator, _ shape: Int, wild: Bool) -> String {
        func number() -> String {
            if wild, random.below(20) == 0 { return Self.numbers[Int(random.below(33))] }
            return "\(random.below(random.below(2) == 0 ? 10 : 900_000) + 1)"
        }
        func address() -> String {
            if wild, random.below(20) == 0 { return Self.numbers[Int(random.below(33))] }
            return random.below(2) == 0 ? number() : "\"0x\(String(random.below(1 << 62), radix: 16))\""
        }
        switch shape {
        case 0: return #"{"id":\#(number()),"address":\#(address()),"flags":["b"],"mode":"write"}"#
        case 1: return #"{"address":\#(address()),"size":\#(number()),"name":"0x12","id":3}"#
        case 2: return #"{"id":\#(number()),"name":null,"address":"0x\#(String(random.below(256), radix: 16))"}"#
        case 3: return #"{"mode":"read","id":5,"flags":["a","b"]}"#
        default: return #"{"id":\#(number()),"name":"n\#(random.below(4))","size":\#(number())}"#
        }
    }

    @Test(arguments: UInt64(1)...6)
    func objectsAreReadAlikeHoweverTheyAreSpaced(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var (accepted, refused) = (0, 0)
        for _ in 0..<120 {
            var shape = Int(random.below(5))
            var elements: [String] = []
            for _ in 0..<random.below(30) {
                if random.below(8) == 0 { shape = Int(random.below(5)) }
                elements.append(element(&random, shape, wild: seed.isMultiple(of: 2)))
            }
            let separator = [",", ", ", " ,\t"][Int(random.below(3))]
            let fast = try outcome(objects, plain(elements, separator), describe: describe)
            let slow = try outcome(objects, spaced(elements), describe: describe)
            #expect(fast == slow, "\(plain(elements, separator))")
            if fast.hasPrefix("-") { refused += 1 } else { accepted += 1 }
        }
        #expect(accepted > 30)
        #expect(refused > 30 || !seed.isMultiple(of: 2))
    }

    @Test func aTextThatLooksLikeANumberStaysAText() throws {
        let elements = (0..<9).map { #"{"id":\#($0),"name":"0x\#($0)a"}"# }
        let expected = (0..<9).map { "\($0) 7 9 0x\($0)a 1 read" }.joined(separator: "\n")
        #expect(try outcome(objects, plain(elements), describe: describe) == expected)
    }

    @Test(arguments: [
        (#"{"id":7,"size":0}"#, "-22 out_of_range p[6].size"),
        (#"{"id":7,"sizf":1}"#, "-32602 unknown_parameter p[6].sizf"),
        (#"{"id":7,"size":x}"#, "-32700"), (#"{"id":7,"size":1.}"#, "-32700"), (#"{"id":7,"size":00}"#, "-32700"),
        (#"{"id":7 "size":1}"#, "-32700"), (#"{"id":7,"id":11}"#, "-32602 duplicate_parameter p[6].id"),
    ])
    func oneBadElementIsNamed(element: String, expected: String) throws {
        var elements = (0..<12).map { #"{"id":\#($0 % 10),"size":\#($0 % 9 + 1)}"# }
        elements[6] = element
        let answer = try outcome(objects, plain(elements), describe: describe)
        #expect(answer.hasPrefix(expected), "\(answer)")
    }

    // MARK: Arrays

    private let pairs = ParamType<List<IntegerPair>>.array(of: .pair(of: .address))

    private func describe(_ list: List<IntegerPair>) -> String {
        list.map { "\($0.first) \($0.second)" }.joined(separator: "\n")
    }

    @Test(arguments: UInt64(1)...6)
    func pairsAreReadAlikeHoweverTheyAreSpaced(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<120 {
            let isHexadecimal = random.below(2) == 0
            var elements: [String] = []
            for _ in 0..<random.below(30) {
                let odd = seed.isMultiple(of: 2) && random.below(60) == 0
                let words = (0..<2).map { _ in
                    if odd { return Self.numbers[Int(random.below(33))] }
                    let bits = random.below(1 << (random.below(4) * 16 + 4))
                    return isHexadecimal ? "\"0x\(String(bits, radix: 16))\"" : "\(bits)"
                }
                elements.append("[" + words.joined(separator: ",") + (odd && words[0] == "1" ? ",1]" : "]"))
            }
            let fast = try outcome(pairs, plain(elements), describe: describe)
            #expect(try fast == outcome(pairs, spaced(elements), describe: describe), "\(plain(elements))")
        }
    }

    @Test func nestedListsAreReadWhileTheOuterOneIs() throws {
        let lists = ParamType<List<List<UInt64>>>.array(of: .array(of: .address))
        let elements = (0..<20).map { "[\($0),\($0 * 3 % 7),\"0x\($0 % 8)\"]" }
        let expected = (0..<20).map { "\([$0, $0 * 3 % 7, $0 % 8])" }.joined(separator: "\n")
        let seen = try outcome(lists, plain(elements)) { outer in
            outer.map { inner in "\(inner.map { $0 })" }.joined(separator: "\n")
        }
        #expect(seen == expected)
    }

    // MARK: Values of any kind

    @Test(arguments: UInt64(1)...4)
    func treesAreTheSame(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let elements = (0..<random.below(20)).map { _ in
                element(&random, Int(random.below(2)), wild: false)
            }
            let array = try JSONValue(parsing: Array(plain(elements).utf8))
            let apart = try elements.map { try JSONValue(parsing: Array($0.utf8)) }
            #expect(array == .array(apart))
        }
    }

    @Test(arguments: [
        (#"{"id":%,"flags":["a"],"name":"x"}"#, 98), (#"[%,"0x%"]"#, 98), (#"{ "id" : % }"#, 98), ("[[7]]", 98),
        ("[[%]]", 0),
        (#"{"a":{"id":%}}"#, 0), (#"[[[%]]]"#, 0), ("%", 0),
    ])
    func likeElementsAreNotScanned(pattern: String, expected: Int) {
        let text = plain((0..<100).map { pattern.replacingOccurrences(of: "%", with: "\($0 % 10)") }, ", ")
        var bytes = Array(text.utf8) + [UInt8](repeating: 0, count: ByteBuffer.slack)
        var parser = JSONParser()
        defer { parser.deallocate() }
        let isAccepted = bytes.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { parser.parse($0, length: text.utf8.count) } ?? false
        }
        #expect(isAccepted)
        #expect((0..<parser.count).filter { parser.nodes[$0].likeness == .alike }.count == expected)
    }

    @Test func nodesAreVectorsOfFourWords() {
        // Nodes are copied as vectors.
        #expect(MemoryLayout<JSONNode>.stride == MemoryLayout<JSONNode.Vector>.stride)
        #expect(MemoryLayout<JSONNode>.offset(of: \.next) == 8)
        #expect(MemoryLayout<JSONNode>.offset(of: \.likeness) == 14)
        #expect(MemoryLayout<JSONNode>.offset(of: \.variation) == 15)
    }
}

extension SeededGenerator {
    fileprivate mutating func below(_ bound: UInt64) -> UInt64 { next(upperBound: bound) }
}
