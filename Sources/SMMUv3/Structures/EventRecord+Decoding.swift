extension EventRecord {
    /// The architectural name, or `"Reserved"`.
    public var name: String { type?.name ?? "Reserved" }

    /// What the record says, by architectural names; only the fields that its event defines.
    public var fields: [DecodedField] {
        guard let type else {
            return []
        }
        var fields = [DecodedField("StreamID", UInt64(StreamID), width: 32)]
        if type == .C_BAD_SUBSTREAMID {
            fields.append(DecodedField("SubstreamID", UInt64(SubstreamID), width: 20))
        } else if type != .F_STREAM_DISABLED && type != .F_TRANSL_FORBIDDEN {
            fields.append(flag("SSV", SSV))
            if SSV {
                fields.append(DecodedField("SubstreamID", UInt64(SubstreamID), width: 20))
            }
        }
        switch type {
        case .F_STE_FETCH, .F_CD_FETCH, .F_VMS_FETCH: fields.append(DecodedField("FetchAddr", FetchAddr))
        case .F_TRANSL_FORBIDDEN: fields += [flag("RnW", RnW), DecodedField("InputAddr", InputAddr)]
        case .F_BAD_ATS_TREQ: fields += request + [DecodedField("InputAddr", InputAddr)]
        case .F_UUT, .E_PAGE_REQUEST: fields.append(DecodedField("InputAddr", InputAddr))
        case .F_WALK_EABT: fields += access + [DecodedField("FetchAddr", FetchAddr)]
        case .F_TRANSLATION, .F_ADDR_SIZE, .F_ACCESS, .F_PERMISSION: fields += stall + access + stage2
        default: break
        }
        return fields
    }

    private func flag(_ name: StaticString, _ value: Bool) -> DecodedField {
        DecodedField(name, value ? 1 : 0, width: 1)
    }

    private var stall: [DecodedField] {
        [flag("Stall", Stall)] + (Stall ? [DecodedField("STAG", UInt64(STAG), width: 16)] : [])
    }

    private var request: [DecodedField] {
        [
            flag("R", R), flag("W", W), flag("X", X), flag("Priv", Priv), DecodedField("Span", UInt64(Span), width: 8),
        ]
    }

    private var access: [DecodedField] {
        [
            flag("PnU", PnU), flag("InD", InD), flag("RnW", RnW), flag("S2", S2),
            DecodedField("CLASS", CLASS, width: 2), DecodedField("InputAddr", InputAddr),
        ]
    }

    private var stage2: [DecodedField] {
        guard S2 else {
            return []
        }
        let isTableFault = type == .F_PERMISSION && CLASS == EventClass.TTD.rawValue
        return (isTableFault ? [flag("TTRnW", TTRnW)] : []) + [DecodedField("IPA", IPA)]
    }
}
