extension Command {
    /// The name with the prefix of IHI 0070, `"CMD_CFGI_ALL"` for its special encoding, or `"Reserved"`.
    public var name: String {
        guard let opcode else {
            return "Reserved"
        }
        return opcode == .CFGI_STE_RANGE && Range == 31 ? "CMD_CFGI_ALL" : opcode.name
    }

    /// The parameters of the command by their architectural names, in the order of its bits.
    public var fields: [DecodedField] {
        switch opcode {
        case .PREFETCH_CONFIG: stream + substream
        case .PREFETCH_ADDR: stream + substream + [DecodedField("Address", Address)]
        case .CFGI_STE: stream + [leaf]
        case .CFGI_STE_RANGE: stream + [DecodedField("Range", Range, width: 5)]
        case .CFGI_CD: [substreamID] + stream + [leaf]
        case .CFGI_CD_ALL, .STALL_TERM: stream
        case .CFGI_VMS_PIDM, .TLBI_NH_ALL, .TLBI_S12_VMALL: [vmid]
        case .TLBI_NH_ASID: [vmid, asid]
        case .TLBI_NH_VA: [vmid, asid] + range
        case .TLBI_NH_VAA, .TLBI_S2_IPA: [vmid] + range
        case .TLBI_EL2_ASID: [asid]
        case .TLBI_EL2_VA: [asid] + range
        case .TLBI_EL2_VAA: range
        case .ATC_INV:
            [DecodedField("G", Global ? 1 : 0, width: 1)] + substream + stream
                + [DecodedField("Size", Size, width: 6), DecodedField("Address", Address)]
        case .PRI_RESP:
            substream + stream
                + [DecodedField("PRGIndex", UInt64(PRGIndex), width: 9), DecodedField("Resp", Resp, width: 2)]
        case .RESUME:
            [DecodedField("Ac", Action ? 1 : 0, width: 1), DecodedField("Ab", Abort ? 1 : 0, width: 1)] + stream
                + [DecodedField("STAG", UInt64(STAG), width: 16)]
        case .SYNC:
            [
                DecodedField("CS", CS, width: 2), DecodedField("MSIData", UInt64(MSIData), width: 32),
                DecodedField("MSIAddress", MSIAddress),
            ]
        case .TLBI_EL2_ALL, .TLBI_NSNH_ALL, .DPTI_ALL, .DPTI_PA, nil: []
        }
    }

    private var stream: [DecodedField] { [DecodedField("StreamID", UInt64(StreamID), width: 32)] }

    private var substreamID: DecodedField { DecodedField("SubstreamID", UInt64(SubstreamID), width: 20) }

    private var substream: [DecodedField] {
        [DecodedField("SSV", SSV ? 1 : 0, width: 1)] + (SSV ? [substreamID] : [])
    }

    private var leaf: DecodedField { DecodedField("Leaf", Leaf ? 1 : 0, width: 1) }

    private var vmid: DecodedField { DecodedField("VMID", UInt64(VMID), width: 16) }

    private var asid: DecodedField { DecodedField("ASID", UInt64(ASID), width: 16) }

    private var range: [DecodedField] {
        let hint: [DecodedField] =
            TG == 0
            ? []
            : [
                DecodedField("NUM", NUM, width: 5), DecodedField("SCALE", SCALE, width: 6),
                DecodedField("TTL", TTL, width: 2), DecodedField("TG", TG, width: 2),
            ]
        return hint + [leaf, DecodedField("Address", Address)]
    }
}
