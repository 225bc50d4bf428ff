import IOMMU
import JSONRPC

/// The raw words of a structure and every field by its architectural name.
struct StructureFields {
    let words: Field<ListOf<Hex>>
    let fields: Field<JSONValue>
    let illegal: Field<String>

    init(_ method: MethodBuilder) {
        words = method.result("words", .array(of: .hex), "The eight words as they lie in memory.")
        fields = method.result("fields", .any, "Each field by its name in IHI 0070; wider than a bit: \"0x…\".")
        illegal = method.optionalResult("illegal", .string, "The field that makes it C_BAD_STE or C_BAD_CD.")
    }
}

extension ResultWriter {
    func write(_ structure: StructureDescription, _ fields: StructureFields) {
        set(fields.words) { list in for word in structure.words { list.append(word) } }
        set(fields.fields, .object(structure.fields.map(\.member)))
        if let illegal = structure.illegalField { set(fields.illegal, illegal) }
    }
}

extension NamedField {
    /// One bit is a number, anything wider a `"0x…"` string.
    var member: JSONValue.Member {
        JSONValue.Member(key: name, value: width == 1 ? .count(value) : .hex(value))
    }
}
