import IOMMU
import JSONRPC

extension IOMMUError: RPCErrorConvertible {
    /// What a client sees of the refusal.
    package var rpcError: RPCError {
        var error = RPCError(errno: errno.rawValue, reason: reason.slug, message: message, hint: hint)
        for member in members { error.set(member.key, member.value.json) }
        return error
    }
}

extension IOMMUError.Value {
    /// Addresses, lengths and words as `"0x…"`, all else plain.
    package var json: JSONValue {
        switch self {
        case .number(let value): .count(value)
        case .hex(let value): .hex(value)
        case .flag(let value): .bool(value)
        case .text(let value): .string(value)
        case .words(let values): .array(values.map(JSONValue.hex))
        case .object(let members): .object(members.map(\.json))
        }
    }
}

extension IOMMUError.Member {
    package var json: JSONValue.Member { JSONValue.Member(key: key, value: value.json) }
}
