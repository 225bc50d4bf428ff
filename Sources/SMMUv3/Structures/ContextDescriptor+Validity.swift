/// The translation regime that tags what a stream inserts into the TLB (3.3.3).
enum StreamWorld: UInt8 {
    case NS_EL1 = 0
    case NS_EL2 = 1
    case NS_EL2_E2H = 2
}

extension ContextDescriptor {
    /// CdIllegal for a CD reached through a Non-secure STE (5.4.2).
    func isIllegal(ste: StreamTableEntry, world: StreamWorld, _ features: Features) -> Bool {
        if !V || !AA64 || hasIllegalFaultModel(ste: ste, features) {
            return true
        }
        let skips0 = EPD0 && world != .NS_EL2
        let skips1 = EPD1 || world == .NS_EL2
        if ENDI && !(skips0 && skips1) {
            return true
        }
        if (HA || HD) && features.HTTU == 0 || HD && features.HTTU == 1 {
            return true
        }
        if world != .NS_EL2 && !features.ASID16 && ASID > 0xff {
            return true
        }
        let granule0 = WalkParameters.granuleBits(TG0: TG0)
        let granule1 = WalkParameters.granuleBits(TG1: TG1)
        return !skips0 && isIllegalTable(size: T0SZ, base: TTB0, granuleBits: granule0, features)
            || !skips1 && isIllegalTable(size: T1SZ, base: TTB1, granuleBits: granule1, features)
    }

    private func hasIllegalFaultModel(ste: StreamTableEntry, _ features: Features) -> Bool {
        ste.S1STALLD && S || features.terminateAlwaysAborts && !A
            || features.stallModel == 0b01 && S || features.stallModel == 0b10 && !S
    }

    private func isIllegalTable(size: UInt64, base: UInt64, granuleBits: Int, _ features: Features) -> Bool {
        guard features.supports(granuleBits: granuleBits) else {
            return true
        }
        let smallest = features.largeVA && granuleBits == 16 ? 12 : 16
        let largest = features.STT ? (granuleBits == 16 ? 47 : 48) : 39
        guard (smallest...largest).contains(Int(size)) else {
            return true
        }
        let outputBits = Features.addressBits(IPS, limit: features.OAS)
        return base >> UInt64(granuleBits == 16 ? outputBits : min(outputBits, 48)) != 0
    }
}
