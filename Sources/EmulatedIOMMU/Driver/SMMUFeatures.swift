/// What an SMMU can do, as its ID registers state it (IHI 0070 6.3.1-6.3.6).
package struct SMMUFeatures: Sendable, Equatable {
    /// IDR0…IDR5
    package let idr: [UInt32]
    /// It translates in stage 1 (IDR0.S1P).
    package let hasStage1: Bool
    /// It translates in stage 2 (IDR0.S2P).
    package let hasStage2: Bool
    /// Stream tables of two levels (IDR0.ST_LEVEL).
    package let hasTwoLevelStreamTable: Bool
    /// CD tables of two levels (IDR0.CD2L).
    package let hasTwoLevelContextTable: Bool
    /// Stalls can happen where CD.S or STE.S2S ask for them.
    package let hasStall: Bool
    /// Every fault stalls (STALL_MODEL = 0b10).
    package let forcesStall: Bool
    /// A PRI queue (IDR0.PRI).
    package let hasPRI: Bool
    /// Translation requests and invalidations of devices (IDR0.ATS).
    package let hasATS: Bool
    /// IDR0.HTTU = 2
    package let hasHardwareDirty: Bool
    /// Invalidations of the CPUs reach it (IDR0.BTM).
    package let hasBroadcastTLB: Bool
    /// TLBI commands with a range (IDR3.RIL).
    package let hasRangeInvalidation: Bool
    /// IDR5.DS: 52-bit addresses with every granule.
    package let hasLargeDescriptors: Bool
    /// IDR3.FWB
    package let hasStage2ForceWriteBack: Bool
    /// IDR1.ATTR_TYPES_OVR
    package let overridesAttributes: Bool
    /// IDR0.HYP
    package let hasHypervisorRegime: Bool
    /// IDR3.BBML: 2 lets a block be replaced by a table without a break.
    package let blockChangeLevel: UInt32
    /// 8 or 16 (IDR0.ASID16).
    package let asidBits: Int
    /// 8 or 16 (IDR0.VMID16).
    package let vmidBits: Int
    /// IDR1.SIDSIZE
    package let streamIDBits: Int
    /// IDR1.SSIDSIZE
    package let substreamIDBits: Int
    /// log2 of the entries a queue may have.
    package let commandQueueBits: Int
    /// log2 of the entries that the event queue may have (IDR1.EVENTQS).
    package let eventQueueBits: Int
    /// log2 of the entries that the PRI queue may have (IDR1.PRIQS).
    package let priQueueBits: Int
    /// Stage 1 input bits.
    package let virtualAddressBits: Int
    /// Width of a physical address (IDR5.OAS).
    package let outputAddressBits: Int
    /// log2 of the granule the driver uses: 12 where present, else 14, else 16.
    package let granuleBits: Int

    /// - Parameter idr: IDR0…IDR5; missing words read zero.
    package init(idr words: [UInt32]) {
        let idr = (0..<6).map { $0 < words.count ? words[$0] : 0 }
        self.idr = idr
        func field(_ register: Int, _ high: UInt32, _ low: UInt32) -> UInt32 {
            (idr[register] >> low) & (~0 >> (31 - (high - low)))
        }
        func flag(_ register: Int, _ bit: UInt32) -> Bool { (idr[register] >> bit) & 1 != 0 }
        hasStage2 = flag(0, 0)
        hasStage1 = flag(0, 1)
        hasBroadcastTLB = flag(0, 5)
        hasHardwareDirty = field(0, 7, 6) == 2
        hasHypervisorRegime = flag(0, 9)
        hasATS = flag(0, 10)
        asidBits = flag(0, 12) ? 16 : 8
        hasPRI = flag(0, 16)
        vmidBits = flag(0, 18) ? 16 : 8
        hasTwoLevelContextTable = flag(0, 19)
        hasStall = field(0, 25, 24) != 1
        forcesStall = field(0, 25, 24) == 2
        hasTwoLevelStreamTable = field(0, 28, 27) != 0
        streamIDBits = Int(min(field(1, 5, 0), 32))
        substreamIDBits = Int(min(field(1, 10, 6), 20))
        priQueueBits = Int(field(1, 15, 11))
        eventQueueBits = Int(field(1, 20, 16))
        commandQueueBits = Int(field(1, 25, 21))
        overridesAttributes = flag(1, 27)
        hasStage2ForceWriteBack = flag(3, 8)
        hasRangeInvalidation = flag(3, 10)
        blockChangeLevel = field(3, 12, 11)
        hasLargeDescriptors = flag(5, 7)
        granuleBits = flag(5, 4) ? 12 : flag(5, 5) ? 14 : 16
        // 52 bits need the 64 KiB granule as long as LPA2 (CD.DS) is not used.
        let wide = granuleBits == 16
        virtualAddressBits = wide && field(5, 11, 10) == 1 ? 52 : 48
        let sizes = [32, 36, 40, 42, 44, 48, wide ? 52 : 48, 48]
        outputAddressBits = sizes[Int(field(5, 2, 0))]
    }

    /// The smallest page in bytes.
    package var granule: UInt64 { 1 << UInt64(granuleBits) }
    /// Both stages at once.
    package var hasNesting: Bool { hasStage1 && hasStage2 }
    /// The encoding of ``outputAddressBits`` in CD.IPS and STE.S2PS.
    var outputSizeCode: UInt64 {
        switch outputAddressBits {
        case 32: 0
        case 36: 1
        case 40: 2
        case 42: 3
        case 44: 4
        case 48: 5
        default: 6
        }
    }
    /// CD.TG0 and STE.S2TG: 0 = 4 KiB, 1 = 64 KiB, 2 = 16 KiB.
    var granuleCode: UInt64 { granuleBits == 12 ? 0 : granuleBits == 14 ? 2 : 1 }
    /// Command.TG: 1 = 4 KiB, 2 = 16 KiB, 3 = 64 KiB.
    var rangeGranuleCode: UInt64 { UInt64(granuleBits - 10) / 2 }
}
