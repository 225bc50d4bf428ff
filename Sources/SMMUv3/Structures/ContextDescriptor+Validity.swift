/// The translation regime that tags what a stream inserts into the TLB (3.3.3).
enum StreamWorld: UInt8 {
    case NS_EL1 = 0
    case NS_EL2 = 1
    case NS_EL2_E2H = 2
}

extension ContextDescriptor {
    /// The first field that makes a CD reached through a Non-secure STE illegal (CdIllegal, 5.4.2), nil if it is legal.
    func illegalField(ste: StreamTableEntry, world: StreamWorld, _ features: Features) -> StaticString? {
        if !V { return "V" }
        if !AA64 { return "AA64" }
        if hasIllegalStalls(ste: ste, features) { return "S" }
        if features.terminateAlwaysAborts && !A { return "A" }
        let skips0 = EPD0 && world != .NS_EL2
        let skips1 = EPD1 || world == .NS_EL2
        if ENDI && !(skips0 && skips1) { return "ENDI" }
        if HA && features.HTTU == 0 { return "HA" }
        if HD && features.HTTU <= 1 { return "HD" }
        if HAFT && !HA && features.HAFT { return "HAFT" }
        if world != .NS_EL2 && !features.ASID16 && ASID > 0xff { return "ASID" }
        let granule0 = WalkParameters.granuleBits(TG0: TG0)
        let granule1 = WalkParameters.granuleBits(TG1: TG1)
        if !skips0, let part = illegalPart(size: T0SZ, base: TTB0, granuleBits: granule0, features) {
            return part == .granule ? "TG0" : part == .size ? "T0SZ" : "TTB0"
        }
        if !skips1, let part = illegalPart(size: T1SZ, base: TTB1, granuleBits: granule1, features) {
            return part == .granule ? "TG1" : part == .size ? "T1SZ" : "TTB1"
        }
        return nil
    }

    private func hasIllegalStalls(ste: StreamTableEntry, _ features: Features) -> Bool {
        ste.S1STALLD && S || features.stallModel == 0b01 && S || features.stallModel == 0b10 && !S
    }

    private enum TablePart {
        case granule
        case size
        case base
    }

    private func illegalPart(size: UInt64, base: UInt64, granuleBits: Int, _ features: Features) -> TablePart? {
        guard features.supports(granuleBits: granuleBits) else { return .granule }
        let smallest = features.largeVA && granuleBits == 16 ? 12 : 16
        let largest = features.STT ? (granuleBits == 16 ? 47 : 48) : 39
        guard (smallest...largest).contains(Int(size)) else { return .size }
        let outputBits = Features.addressBits(IPS, limit: features.OAS)
        return base >> UInt64(granuleBits == 16 ? outputBits : min(outputBits, 48)) != 0 ? .base : nil
    }
}
