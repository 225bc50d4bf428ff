import Foundation
import TestSupport
import Testing

@testable import JSONRPC

/// Elements of an array that are like the one before are compared with it instead of being scanned. Whatever that
/// finds, a client must see no difference: each test compares the array as it is with the same elements spaced
/// differently, of which no two neighbours are alike.
@Suite struct LikeElementsTests {
    // MARK: Objects

    private static let numbers = [
        "0", "1", "9", "10", "42", "99", "100", "65535", "1000000", "1000001", "4294967296", "9999999999999999",
        "18446744073709551615", "18446744073709551616", "-1", "-0", "01", "1.5", "1e3", "\"0x0\"", "\"0xf\"",
        "\"0xFf\"", "\"0x00ff\"", "\"0x12345678\"", "\"0x123456789\"", "\"0xffffffffffffffff\"",
        "\"0x10000000000000000\"", "\"0xg1\"", "\"0x\"", "\"\\u0030x1\"", "null", "true", "\"a\"",
    ]

    private func element(_ random: inout SeededGenerator, _ shape: Int, wild: Bool) -> String {
        func number() -> String {
            if wild, random.next(below: 20) == 0 { return Self.numbers[Int(random.next(below: 33))] }
            return "\(random.next(below: random.next(below: 2) == 0 ? 10 : 900_000) + 1)"
        }
        func address() -> String {
            if wild, random.next(below: 20) == 0 { return Self.numbers[Int(random.next(below: 33))] }
            return random.next(below: 2) == 0 ? number() : "\"0x\(String(random.next(below: 1 << 62), radix: 16))\""
        }
        switch shape {
        case 0: return #"{"id":\#(number()),"address":\#(address()),"flags":["b"],"mode":"write"}"#
        case 1: return #"{"address":\#(address()),"size":\#(number()),"name":"0x12","id":3}"#
        case 2: return #"{"id":\#(number()),"name":null,"address":"0x\#(String(random.next(below: 256), radix: 16))"}"#
        case 3: return #"{"mode":"read","id":5,"flags":["a","b"]}"#
        default: return #"{"id":\#(number()),"name":"n\#(random.next(below: 4))","size":\#(number())}"#
        }
    }

    @Test(arguments: UInt64(1)...6)
    func objectsAreReadAlikeHoweverTheyAreSpaced(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var (accepted, refused) = (0, 0)
        for _ in 0..<120 {
            var shape = Int(random.next(below: 5))
            var elements: [String] = []
            for _ in 0..<random.next(below: 30) {
                if random.next(below: 8) == 0 { shape = Int(random.next(below: 5)) }
                elements.append(element(&random, shape, wild: seed.isMultiple(of: 2)))
            }
            let separator = [",", ", ", " ,\t"][Int(random.next(below: 3))]
            let fast = try Elements.read(objects: Elements.plain(elements, separator))
            let slow = try Elements.read(objects: Elements.spaced(elements))
            #expect(fast == slow, "\(Elements.plain(elements, separator))")
            if fast.hasPrefix("-") { refused += 1 } else { accepted += 1 }
        }
        #expect(accepted > 30)
        #expect(refused > 30 || !seed.isMultiple(of: 2))
    }

    /// One byte of one element is another one.
    @Test(arguments: UInt64(1)...4)
    func brokenElementsAreRefusedAlikeHoweverTheyAreSpaced(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            let shape = random.next(below: 5)
            var elements = (0..<6).map { _ in element(&random, shape, wild: false) }
            let broken = 2 + random.next(below: 4)
            var bytes = Array(elements[broken].utf8)
            bytes[random.next(below: bytes.count)] = UInt8(
                truncatingIfNeeded: 0x20 + random.next(below: 0x5f))
            elements[broken] = String(decoding: bytes, as: UTF8.self)
            let fast = try Elements.read(objects: Elements.plain(elements))
            #expect(try fast == Elements.read(objects: Elements.spaced(elements)), "\(Elements.plain(elements))")
        }
    }

    @Test func aTextThatLooksLikeANumberStaysAText() throws {
        let elements = (0..<9).map { #"{"id":\#($0),"name":"0x\#($0)a"}"# }
        let expected = (0..<9).map { "\($0) 7 9 0x\($0)a 1 read" }.joined(separator: "\n")
        #expect(try Elements.read(objects: Elements.plain(elements)) == expected)
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
        let answer = try Elements.read(objects: Elements.plain(elements))
        #expect(answer.hasPrefix(expected), "\(answer)")
    }

    // MARK: Arrays

    @Test(arguments: UInt64(1)...6)
    func pairsAreReadAlikeHoweverTheyAreSpaced(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<120 {
            let isHexadecimal = random.next(below: 2) == 0
            var elements: [String] = []
            for _ in 0..<random.next(below: 30) {
                let odd = seed.isMultiple(of: 2) && random.next(below: 60) == 0
                let words = (0..<2).map { _ in
                    if odd { return Self.numbers[Int(random.next(below: 33))] }
                    let bits = random.next(below: 1 << (random.next(below: 4) * 16 + 4))
                    return isHexadecimal ? "\"0x\(String(bits, radix: 16))\"" : "\(bits)"
                }
                elements.append("[" + words.joined(separator: ",") + (odd && words[0] == "1" ? ",1]" : "]"))
            }
            let fast = try Elements.read(pairs: Elements.plain(elements))
            #expect(try fast == Elements.read(pairs: Elements.spaced(elements)), "\(Elements.plain(elements))")
        }
    }

    @Test func nestedListsAreReadWhileTheOuterOneIs() throws {
        let lists = ParamType<List<List<UInt64>>>.array(of: .array(of: .address))
        let elements = (0..<20).map { "[\($0),\($0 * 3 % 7),\"0x\($0 % 8)\"]" }
        let expected = (0..<20).map { "\([$0, $0 * 3 % 7, $0 % 8])" }.joined(separator: "\n")
        let seen = try outcome(lists, Elements.plain(elements)) { outer in
            outer.map { inner in "\(inner.map { $0 })" }.joined(separator: "\n")
        }
        #expect(seen == expected)
    }

    // MARK: Values of any kind

    @Test(arguments: UInt64(1)...4)
    func treesAreTheSame(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let elements = (0..<random.next(below: 20)).map { _ in
                element(&random, Int(random.next(below: 2)), wild: false)
            }
            let array = try JSONValue(parsing: "[" + Elements.plain(elements) + "]")
            let apart = try elements.map { try JSONValue(parsing: $0) }
            #expect(array == .array([.array(apart)]))
        }
    }

    @Test(arguments: [
        (#"{"id":%,"flags":["a"],"name":"x"}"#, 98), (#"[%,"0x%"]"#, 98), (#"{ "id" : % }"#, 98), ("[[7]]", 98),
        ("[[%]]", 0),
        (#"{"a":{"id":%}}"#, 0), (#"[[[%]]]"#, 0), ("%", 0), (#"{"id":%,"name":"\\n"}"#, 0), (#"{"\\n":%}"#, 0),
    ])
    func likeElementsAreNotScanned(pattern: String, expected: Int) {
        let elements = (0..<100).map { pattern.replacingOccurrences(of: "%", with: "\($0 % 10)") }
        for separator in [",", " , ", ",\n            "] {
            let text = "[" + Elements.plain(elements, separator) + "]"
            var bytes = Array(text.utf8) + [UInt8](repeating: 0, count: ByteBuffer.slack)
            var parser = JSONParser()
            defer { parser.deallocate() }
            let isAccepted = bytes.withUnsafeMutableBufferPointer { buffer in
                buffer.baseAddress.map { parser.parse($0, length: text.utf8.count) } ?? false
            }
            #expect(isAccepted)
            #expect(likeElements(parser.nodes) == expected)
        }
    }

    /// Elements that are in runs of the array in the array at the root.
    private func likeElements(_ nodes: UnsafePointer<JSONNode>) -> Int {
        var (cursor, count) = (2, 0)
        while cursor < Int(nodes[1].next) {
            if nodes[cursor].kind == .run { count += ElementRun(nodes + cursor).count }
            cursor = Int(nodes[cursor].next)
        }
        return count
    }

    @Test func likeRequestsOfABatchAreCarriedOutOneByOne() throws {
        var methods = MethodTable<Void>()
        var calls = 0
        methods.declare("m", "M.") { _ in
            { call, _ in
                calls += 1
                return call.reply()
            }
        }
        let dispatcher = Dispatcher(methods, context: ())
        let connection = Connection(id: ConnectionID(index: 0, generation: 0), credentials: nil)
        let batch = Elements.plain((0..<20).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"m"}"# })
        _ = dispatcher.consume(Array((batch + "\n").utf8), from: connection)
        let replies = try JSONValue(parsing: Array(connection.takeOutput().dropLast())).arrayValue ?? []
        #expect(replies.map { $0["id"]?.intValue } == (0..<20).map { $0 })
        #expect(calls == 20)
    }
}

extension SeededGenerator {
    fileprivate mutating func below(_ bound: UInt64) -> UInt64 { next(upperBound: bound) }
}
