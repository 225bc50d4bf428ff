import IOMMU
import SMMUv3

/// What STEs and CDs hold for each kind of attachment.
extension SMMUDriver {
    /// STE.S1DSS: transactions without a substream are terminated, or use CD 0.
    enum DefaultSubstream: UInt64 {
        case terminate = 0
        case bypass = 1
        case substream0 = 2
    }

    func abortEntry() -> StreamTableEntry {
        var entry = StreamTableEntry()
        entry.V = true
        entry.Config = StreamConfiguration.abort.rawValue
        return entry
    }

    func contextEntry(
        _ master: Master, _ contexts: ContextTables, defaultSubstream: DefaultSubstream, ats: Bool
    ) -> StreamTableEntry {
        var entry = StreamTableEntry()
        entry.V = true
        entry.Config = StreamConfiguration.stage1.rawValue
        entry.S1Fmt = contexts.isTwoLevel ? 2 : 0
        entry.S1ContextPtr = contexts.root
        entry.S1CDMax = UInt64(contexts.bits)
        entry.S1DSS = defaultSubstream.rawValue
        // CD fetches: inner and outer write-back, read-allocate, inner shareable.
        (entry.S1CIR, entry.S1COR, entry.S1CSH) = (1, 1, 3)
        entry.S1STALLD = features.hasStall && !features.forcesStall && !master.canStall
        entry.EATS = ats ? 1 : 0
        if features.overridesAttributes, defaultSubstream == .bypass { entry.SHCFG = 1 }
        return entry
    }

    func stage2Entry(_ domain: PagingDomain, stall: Bool, ats: Bool) -> StreamTableEntry {
        let format = domain.table.format
        var entry = StreamTableEntry()
        entry.V = true
        entry.Config = StreamConfiguration.stage2.rawValue
        entry.EATS = ats && !stall ? 1 : 0
        if features.overridesAttributes { entry.SHCFG = 1 }
        entry.S2FWB = usesForcedWriteBack(domain.kind)
        entry.S2VMID = UInt64(domain.tag)
        entry.S2T0SZ = UInt64(64 - format.inputBits)
        entry.S2SL0 = format.stage2StartCode
        (entry.S2IR0, entry.S2OR0, entry.S2SH0) = (1, 1, 3)
        entry.S2TG = features.granuleCode
        entry.S2PS = features.outputSizeCode
        entry.S2AA64 = true
        entry.S2PTW = true
        entry.S2R = true
        entry.S2S = stall
        entry.S2TTB = domain.table.root
        return entry
    }

    func nestedEntry(_ domain: NestedDomain, stall: Bool, ats: Bool) -> StreamTableEntry {
        switch domain.configuration {
        case .bypass: return stage2Entry(domain.viommu.parent, stall: stall, ats: ats)
        case .stage1:
            var entry = stage2Entry(domain.viommu.parent, stall: stall, ats: false)
            entry.word0 = domain.vste.0 & ~0xe
            entry.Config = StreamConfiguration.nested.rawValue
            entry.word1 |= domain.vste.1 & ~(3 << 28)
            entry.EATS = ats && !stall ? 1 : 0
            // Merged records cannot flood the host's queue.
            entry.MEV = true
            return entry
        default: return abortEntry()
        }
    }

    /// MAIR: 0 normal non-cacheable, 1 normal write-back, 2 device, 3 normal inner non-cacheable outer write-back; the
    /// rest, which nothing uses, write-back.
    static let memoryAttributes: (low: UInt64, high: UInt64) = (0xf404_ff44, 0xffff_ffff)

    func pagingContext(_ domain: PagingDomain, master: Master) -> ContextDescriptor {
        var context = liveContext(domain.table, asid: domain.tag)
        // Whether anybody handles its faults shows when one comes: a stall that nobody takes is aborted.
        context.S = features.forcesStall || master.canStall
        context.HA = domain.hasDirtyTracking
        context.HD = domain.hasDirtyTracking
        return context
    }

    func svaContext(_ domain: SVADomain, master: Master) -> ContextDescriptor {
        guard domain.isLive else {
            var context = quiescedContext(asid: domain.asid)
            context.ASET = !domain.isASIDShared
            return context
        }
        var context = liveContext(domain.table, asid: domain.asid)
        context.ASET = !domain.isASIDShared
        context.S = features.forcesStall || master.canStall
        return context
    }

    private func liveContext(_ table: PageTable, asid: UInt16) -> ContextDescriptor {
        var context = quiescedContext(asid: asid)
        context.EPD0 = false
        context.T0SZ = UInt64(64 - table.format.inputBits)
        context.TG0 = features.granuleCode
        (context.IR0, context.OR0, context.SH0) = (1, 1, 3)
        context.TTB0 = table.root
        context.R = true
        return context
    }

    /// Valid, but walks nothing and reports nothing.
    private func quiescedContext(asid: UInt16) -> ContextDescriptor {
        var context = ContextDescriptor()
        context.V = true
        context.AA64 = true
        (context.EPD0, context.EPD1) = (true, true)
        context.IPS = features.outputSizeCode
        context.A = true
        context.ASET = true
        context.ASID = UInt64(asid)
        (context.MAIR0, context.MAIR1) = Self.memoryAttributes
        // Without it a CD is ILLEGAL where every fault stalls; what stalls is then aborted unseen.
        context.S = features.forcesStall
        return context
    }

    /// Guests below which a device may snoop or not: what they ask for must not undo the host's write-back.
    func usesForcedWriteBack(_ kind: PagingKind) -> Bool { kind == .nestParent && features.hasStage2ForceWriteBack }
}
