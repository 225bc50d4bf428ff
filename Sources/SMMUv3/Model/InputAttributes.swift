/// Memory type and shareability with which a transaction enters, overrides applied (13.1.3, 13.1.4).
struct InputAttributes {
    /// In the format of MAIR.
    var type = MemoryAttributes.writeBack
    /// SH encoding.
    var shareability: UInt8 = 0

    /// Whether anything differs from what is assumed.
    var isOverridden: Bool { type != MemoryAttributes.writeBack || shareability != 0 }

    /// What is assumed where the interconnect says nothing and nothing overrides it.
    init() {}

    /// What the fields of an STE or of SMMU_GBPA, which are encoded alike, make of that.
    init(MTCFG: Bool, MemAttr: UInt64, ALLOCCFG: UInt64, SHCFG: UInt64) {
        if MTCFG {
            // Outer types without an inner one are Reserved and behave as Device-nGnRnE (5.2 MemAttr).
            let isReserved = MemAttr & 0b0011 == 0
            type = isReserved ? 0 : MemoryAttributes.stage2(PageDescriptor.MemAttr(MemAttr), forcesWriteBack: false)
        }
        if ALLOCCFG & 0b1000 != 0 {
            type = MemoryAttributes.withHints(
                type, read: ALLOCCFG.bit(2), write: ALLOCCFG.bit(1), isTransient: ALLOCCFG.bit(0))
        }
        let given: UInt8 = SHCFG == 0b01 ? 0 : UInt8(truncatingIfNeeded: SHCFG & 3)
        shareability = MemoryAttributes.consistentShareability(type, given)
    }

    /// The overrides of an STE.
    init(_ ste: StreamTableEntry) {
        self.init(MTCFG: ste.MTCFG, MemAttr: ste.MemAttr, ALLOCCFG: ste.ALLOCCFG, SHCFG: ste.SHCFG)
    }

    /// The overrides of SMMU_GBPA (6.3.14).
    init(GBPA: UInt32) {
        let fields = UInt64(GBPA)
        self.init(
            MTCFG: fields.bit(4), MemAttr: fields.bits(3, 0), ALLOCCFG: fields.bits(11, 8), SHCFG: fields.bits(13, 12))
    }
}
