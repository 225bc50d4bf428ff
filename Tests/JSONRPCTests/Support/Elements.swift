@testable import JSONRPC

/// Arrays of elements that may be like the one before, and their types.
enum Elements {
    struct Fields {
        let id: Param<UInt32>
        let address: Param<UInt64>
        let size: Param<UInt32>
        let name: Param<String?>
        let flags: Param<Flags>
        let mode: Param<Direction>
    }

    static var objects: ParamType<List<Object<Fields>>> {
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

    static func describe(_ list: List<Object<Fields>>) -> String {
        let elements = list.map { o in
            let f = o.fields
            return "\(o[f.id]) \(o[f.address]) \(o[f.size]) \(o[f.name] ?? "-") \(o[f.flags].bits) \(o[f.mode])"
        }
        return elements.joined(separator: "\n")
    }

    /// The array with `index` spaces, so never as many as in the neighbours, within each element.
    static func spaced(_ elements: [String]) -> String {
        let lines = elements.enumerated().map { index, element in
            element.prefix(1) + String(repeating: " ", count: index % 3) + element.dropFirst()
        }
        return "[" + lines.joined(separator: ",") + "]"
    }

    static func plain(_ elements: [String], _ separator: String = ",") -> String {
        "[" + elements.joined(separator: separator) + "]"
    }

    static var pairs: ParamType<List<IntegerPair>> { .array(of: .pair(of: .address)) }

    static func describe(_ list: List<IntegerPair>) -> String {
        list.map { "\($0.first) \($0.second)" }.joined(separator: "\n")
    }

    /// What a call with these objects is answered with, or the description of what it reads.
    static func read(objects text: String) throws -> String { try outcome(objects, text, describe: describe) }

    /// What a call with these pairs is answered with, or the description of what it reads.
    static func read(pairs text: String) throws -> String { try outcome(pairs, text, describe: describe) }
}
