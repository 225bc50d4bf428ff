import SMMUv3

/// A 64-byte structure that software changes while the SMMU may read it: STE or CD.
protocol TableEntry: ConfigurationEntry {
    /// The bits that the SMMU looks at while the entry holds this value.
    var usedBits: Self { get }
    /// Bits that may change under the SMMU on the way to `target` though it looks at them.
    func safeBits(toward target: Self) -> Self
}

extension StreamTableEntry: TableEntry {
    /// IHI 0070 5.2: which fields are IGNORED follows from V, Config and S1DSS.
    var usedBits: StreamTableEntry {
        var used = StreamTableEntry()
        used[0] = 1
        guard V else { return used }
        used[0] = 0xf
        if Config == StreamConfiguration.bypass.rawValue { used[1] |= Self.SHCFGBits }
        let stages = Config & 4 != 0 ? Config : 0
        if stages & 1 != 0 {
            used[0] |= 0xf80f_ffff_ffff_fff0
            used[1] |= Self.stage1Bits | Self.EATSBits | Self.MEVBit
            used[2] |= 0xffff
            if S1DSS == 1 { used[1] |= Self.SHCFGBits }
        }
        if stages & 2 != 0 {
            used[1] |= Self.S2FWBBit | Self.EATSBits | Self.SHCFGBits | Self.MEVBit
            used[2] |= 0x065f_ffff_0000_ffff
            used[3] |= 0x000f_ffff_ffff_fff0
        }
        return used
    }

    /// MEV only changes how many records may be merged. EATS = full may come and go since the device's ATS is off
    /// while it changes; not where stage 2 stalls or EATS = S1CHK could meet it, which is an illegal entry.
    func safeBits(toward target: StreamTableEntry) -> StreamTableEntry {
        var safe = StreamTableEntry()
        safe[1] = Self.MEVBit
        if (self[1] | target[1]) & (2 << 28) == 0, !S2S, !target.S2S { safe[1] |= 1 << 28 }
        return safe
    }

    private static var SHCFGBits: UInt64 { 0x3000_0000_0000 }
    private static var EATSBits: UInt64 { 0x3000_0000 }
    private static var MEVBit: UInt64 { 1 << 19 }
    private static var S2FWBBit: UInt64 { 1 << 25 }
    /// S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, STRW
    private static var stage1Bits: UInt64 { 0xc800_00ff }
}

extension ContextDescriptor: TableEntry {
    /// IHI 0070 5.4: with EPD0 = 1 nothing about TTB0 matters; EPD1 = 1 always holds in what this driver writes.
    var usedBits: ContextDescriptor {
        var used = ContextDescriptor()
        guard V else {
            used[0] = 1 << 31
            return used
        }
        for index in 0..<8 { used[index] = .max }
        if EPD0 {
            used[0] &= ~0x3fff
            used[1] &= ~0x000f_ffff_ffff_fff0
        }
        return used
    }

    func safeBits(toward target: ContextDescriptor) -> ContextDescriptor { ContextDescriptor() }
}
