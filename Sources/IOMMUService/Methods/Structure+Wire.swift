import JSONRPC
import SMMUv3

/// The raw words of a structure and every field by its architectural name.
struct StructureFields {
    let words: Field<ListOf<Hex>>
    let fields: Field<JSONValue>

    init(_ method: MethodBuilder) {
        words = method.result("words", .array(of: .hex), "The eight words as they lie in memory.")
        fields = method.result("fields", .any, "Each field by its name in IHI 0070; wider than a bit: \"0x…\".")
    }
}

extension ResultWriter {
    func write(_ words: [UInt64], _ decoded: [DecodedField], _ fields: StructureFields) {
        set(fields.words) { list in for word in words { list.append(word) } }
        set(fields.fields, .object(decoded.map(\.member)))
    }
}

extension DecodedField {
    /// One bit is a number, anything wider a `"0x…"` string.
    var member: JSONValue.Member {
        JSONValue.Member(key: name.description, value: width == 1 ? .count(value) : .hex(value))
    }
}
