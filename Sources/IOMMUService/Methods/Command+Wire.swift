import IOMMU
import JSONRPC

extension CommandDescription {
    /// The command with its fields by their names in IHI 0070.
    func json(sequence: UInt64) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init(key: "sequence", value: .count(sequence)), .init(key: "command", value: .string(name)),
        ]
        members += fields.map(\.member)
        members.append(.init(key: "words", value: .array(words.map(JSONValue.hex))))
        return .object(members)
    }
}
