extension StreamTableEntry {
    /// Whether stage 1 translates.
    @inlinable public var translatesStage1: Bool { Config & 0b101 == 0b101 }
    /// Whether stage 2 translates.
    @inlinable public var translatesStage2: Bool { Config & 0b110 == 0b110 }

    /// Whether STRW says nothing (IgnoreSTESTRW, 5.2.2).
    func ignoresSTRW(_ features: Features) -> Bool {
        !features.stage1 || !features.hyp || translatesStage2 || Config == StreamConfiguration.bypass.rawValue
    }

    /// The first field that makes a Non-secure STE illegal (SteIllegal, 5.2.2), nil if it is legal.
    func illegalField(_ features: Features) -> StaticString? {
        if !V { return "V" }
        if !word0.bit(3) { return nil }
        let ignoresSTRW = ignoresSTRW(features)
        if translatesStage1 && !features.stage1 || translatesStage2 && !features.stage2 { return "Config" }
        if hasIllegalATS(features) { return "EATS" }
        if !ignoresSTRW && word1.bit(30) { return "STRW" }
        if translatesStage1, let field = illegalStage1(features) { return field }
        if translatesStage2, let field = illegalStage2(features) { return field }
        let usesVMID = features.stage2 && Config != 0b100 && (STRW == 0 || ignoresSTRW)
        return usesVMID && !features.VMID16 && S2VMID > 0xff ? "S2VMID" : nil
    }

    private func hasIllegalATS(_ features: Features) -> Bool {
        guard features.ATS, Config & 0b11 != 0 else {
            return false
        }
        if EATS == 0b10 {
            return Config != StreamConfiguration.nested.rawValue || S2S || features.NS1ATS
        }
        return EATS == 0b01 && S2S && translatesStage2
    }

    private func illegalStage1(_ features: Features) -> StaticString? {
        if S1STALLD && features.stallModel != 0 { return "S1STALLD" }
        if features.SSIDSIZE != 0 {
            if S1CDMax > features.SSIDSIZE { return "S1CDMax" }
            if S1CDMax != 0 && !features.CD2L && (S1Fmt == 0b01 || S1Fmt == 0b10) { return "S1Fmt" }
        }
        return S1ContextPtr >> UInt64(features.OAS) != 0 ? "S1ContextPtr" : nil
    }

    private func illegalStage2(_ features: Features) -> StaticString? {
        if S2S && features.stallModel == 0b01 || !S2S && features.stallModel == 0b10 { return "S2S" }
        let granule = WalkParameters.granuleBits(TG0: S2TG)
        if !S2AA64 { return "S2AA64" }
        if S2ENDI { return "S2ENDI" }
        if !features.supports(granuleBits: granule) { return "S2TG" }
        if S2HA && features.HTTU == 0 { return "S2HA" }
        if S2HD && features.HTTU <= 1 { return "S2HD" }
        if S2HAFT && !S2HA && features.HAFT { return "S2HAFT" }
        let outputBits = Features.addressBits(S2PS, limit: features.OAS)
        let tableBits = granule == 16 ? outputBits : min(outputBits, 48)
        if S2TTB >> UInt64(tableBits) != 0 { return "S2TTB" }
        let smallest = max(granule == 16 ? 12 : 16, 64 - features.OAS)
        let largest = features.STT ? (granule == 16 ? 47 : 48) : 39
        guard (smallest...largest).contains(Int(S2T0SZ)) else { return "S2T0SZ" }
        return stage2StartLevel(features, granuleBits: granule) == nil ? "S2SL0" : nil
    }

    /// The start level that S2SL0 selects, nil if it is reserved or does not fit S2T0SZ and S2TG.
    func stage2StartLevel(_ features: Features, granuleBits: Int) -> Int? {
        let level: Int
        switch (granuleBits, S2SL0) {
        case (12, 0b11):
            guard features.STT else {
                return nil
            }
            level = 3
        case (12, _): level = 2 - Int(S2SL0)
        case (_, 0b11): return nil
        default: level = 3 - Int(S2SL0)
        }
        // A level 0 (4 KiB) or level 1 (16, 64 KiB) start only exists where the output size needs it.
        if S2SL0 == 0b10 && features.OAS <= (granuleBits == 14 ? 40 : 42) {
            return nil
        }
        let stride = granuleBits - 3
        let indexBits = 64 - Int(S2T0SZ) - ((3 - level) * stride + granuleBits)
        // At least two entries, at most sixteen concatenated tables.
        return (1...stride + 4).contains(indexBits) ? level : nil
    }
}
