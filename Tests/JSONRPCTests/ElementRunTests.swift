import Foundation
import Testing

@testable import JSONRPC

/// Elements that the scan has found alike are read as one run: of each only what varies.
@Suite struct ElementRunTests {
    /// Another separator ends a run: the next one has other numbers that vary.
    @Test func whatVariedInOneRunIsAsItWasInTheNext() throws {
        let first = (0..<5).map { #"{"id":\#($0),"size":7}"# }
        let second = (1..<6).map { #"{"id":0,"size":\#($0)}"# }
        let text = "[" + first.joined(separator: ",") + " , " + second.joined(separator: ",") + "]"
        let expected = (0..<5).map { "\($0) 7 7 - 1 read" } + (1..<6).map { "0 7 \($0) - 1 read" }
        #expect(try Elements.read(objects: text) == expected.joined(separator: "\n"))
    }

    @Test func whatVariedInOneRunOfPairsIsAsItWasInTheNext() throws {
        let text = "[[1,7],[1,7],[2,7],[3,7] , [1,7],[1,8],[1,9]]"
        #expect(try Elements.read(pairs: text) == "1 7\n1 7\n2 7\n3 7\n1 7\n1 8\n1 9")
    }

    @Test func aListIsTheSameWhenItIsReadAgain() throws {
        let elements = (0..<9).map { #"{"id":\#($0),"size":\#($0 + 1)}"# }
        let apart = try Elements.read(objects: Elements.spaced(elements))
        let read = try outcome(Elements.objects, Elements.plain(elements)) {
            Elements.describe($0) + "|" + Elements.describe($0)
        }
        #expect(read == apart + "|" + apart)
    }

    @Test func aListOfPairsIsTheSameWhenItIsReadAgain() throws {
        let read = try outcome(Elements.pairs, Elements.plain((0..<9).map { "[\($0),\($0)]" })) {
            Elements.describe($0) + "|" + Elements.describe($0)
        }
        let once = (0..<9).map { "\($0) \($0)" }.joined(separator: "\n")
        #expect(read == once + "|" + once)
    }

    @Test func likeElementsWithinElementsAreReadForEach() throws {
        struct Outer {
            let name: Param<UInt32>
            let inner: Param<List<Object<Elements.Fields>>>
        }
        let outer = ParamType<List<Object<Outer>>>.array(
            of: .object { o in
                Outer(name: o.param("name", .id, "N."), inner: o.param("inner", Elements.objects, "I."))
            })
        let elements = (0..<6).map { name in
            let inner = (0..<5).map { #"{"id":\#($0 + name),"size":4}"# }
            return #"{"name":\#(name),"inner":\#(Elements.plain(inner))}"#
        }
        let seen = try outcome(outer, Elements.plain(elements)) { list in
            list.map { o in "\(o[o.fields.name]): " + Elements.describe(o[o.fields.inner]) }.joined(separator: "\n")
        }
        let expected = (0..<6).map { name in
            "\(name): " + (0..<5).map { "\($0 + name) 7 4 - 1 read" }.joined(separator: "\n")
        }
        #expect(seen == expected.joined(separator: "\n"))
    }

    @Test(arguments: [#"{"id":%}"#, "[%,2]", #"{"id":%,"n":"0x%f"}"#, "[]"])
    func valuesOfAnyKindAreReadOneByOne(pattern: String) throws {
        let elements = (0..<9).map { pattern.replacingOccurrences(of: "%", with: "\($0)") }
        let seen = try outcome(.array(of: .any), Elements.plain(elements)) { (list: List<JSONValue>) in
            list.map { $0.text }.joined(separator: "\n")
        }
        #expect(seen == elements.joined(separator: "\n"))
    }

    /// What an array says that follows the refused value is looked at before the value is refused.
    @Test func aMistakeBehindARefusedElementOfARunIsReported() throws {
        var elements = (0..<12).map { #"{"id":1,"size":\#($0 + 10)}"# }
        elements[5] = #"{"id":1,"size":00}"#
        #expect(try Elements.read(objects: Elements.plain(elements)).hasPrefix("-32700"))
        elements = (0..<12).map { #"{"id":1,"size":\#($0 == 5 ? 0 : $0 % 9 + 1)}"# }
        #expect(try Elements.read(objects: Elements.plain(elements)) == "-22 out_of_range p[5].size")
        elements[9] = #"{"id":1,"sizf":1}"#
        #expect(try Elements.read(objects: Elements.plain(elements)) == "-32602 unknown_parameter p[9].sizf")
    }
}
