import JSONRPC
import SMMUv3

extension Command {
    /// Whether bits [63:32] are a StreamID.
    var namesStream: Bool {
        switch opcode {
        case .PREFETCH_CONFIG, .PREFETCH_ADDR, .CFGI_STE, .CFGI_CD, .CFGI_CD_ALL, .ATC_INV, .PRI_RESP, .RESUME,
            .STALL_TERM:
            true
        case .CFGI_STE_RANGE:
            Range < 31
        default:
            false
        }
    }

    /// The command with its fields by their names in IHI 0070.
    func json(sequence: UInt64) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init(key: "sequence", value: .count(sequence)), .init(key: "command", value: .string(name)),
        ]
        members += fields.map(\.member)
        members.append(.init(key: "words", value: .array(words.map(JSONValue.hex))))
        return .object(members)
    }

    private var name: String {
        if opcode == .CFGI_STE_RANGE, Range == 31 { return "CMD_CFGI_ALL" }
        return opcode?.name ?? "CMD_0x\(String(word0 & 0xff, radix: 16))"
    }

    private var fields: [DecodedField] {
        switch opcode {
        case .CFGI_STE: [streamField, DecodedField("Leaf", Leaf ? 1 : 0, width: 1)]
        case .CFGI_STE_RANGE: Range == 31 ? [] : [streamField, DecodedField("Range", Range, width: 5)]
        case .CFGI_CD: [streamField, substreamField, DecodedField("Leaf", Leaf ? 1 : 0, width: 1)]
        case .CFGI_CD_ALL: [streamField]
        case .TLBI_NH_ALL, .TLBI_S12_VMALL: [vmidField]
        case .TLBI_NH_ASID: [vmidField, asidField]
        case .TLBI_NH_VA: [vmidField, asidField] + rangeFields
        case .TLBI_NH_VAA, .TLBI_S2_IPA: [vmidField] + rangeFields
        case .TLBI_EL2_ASID: [asidField]
        case .TLBI_EL2_VA: [asidField] + rangeFields
        case .TLBI_EL2_VAA: rangeFields
        case .ATC_INV: [streamField] + substreamFields + [DecodedField("Address", Address), DecodedField("Size", Size, width: 6)]
        case .PRI_RESP:
            [streamField] + substreamFields
                + [DecodedField("PRGIndex", UInt64(PRGIndex), width: 9), DecodedField("Resp", Resp, width: 2)]
        case .RESUME:
            [
                streamField, DecodedField("STAG", UInt64(STAG), width: 16),
                DecodedField("Action", Action ? 1 : 0, width: 1), DecodedField("Abort", Abort ? 1 : 0, width: 1),
            ]
        case .STALL_TERM: [streamField]
        case .SYNC: [DecodedField("CS", CS, width: 2)]
        default: []
        }
    }

    private var streamField: DecodedField { DecodedField("StreamID", UInt64(StreamID), width: 32) }
    private var substreamField: DecodedField { DecodedField("SubstreamID", UInt64(SubstreamID), width: 20) }
    private var substreamFields: [DecodedField] { SSV ? [substreamField] : [] }
    private var vmidField: DecodedField { DecodedField("VMID", UInt64(VMID), width: 16) }
    private var asidField: DecodedField { DecodedField("ASID", UInt64(ASID), width: 16) }

    /// Address and level hint; with TG the range form.
    private var rangeFields: [DecodedField] {
        var fields = [DecodedField("Address", Address), DecodedField("Leaf", Leaf ? 1 : 0, width: 1)]
        if TG != 0 {
            fields += [
                DecodedField("TG", TG, width: 2), DecodedField("NUM", NUM, width: 5), DecodedField("SCALE", SCALE, width: 5),
                DecodedField("TTL", TTL, width: 2),
            ]
        }
        return fields
    }
}
