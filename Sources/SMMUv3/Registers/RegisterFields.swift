/// SMMU_CR0 and CR0ACK (6.3.9).
public enum CR0 {
    /// Translation enabled.
    public static let SMMUEN: UInt32 = 1 << 0
    /// PRI queue enabled.
    public static let PRIQEN: UInt32 = 1 << 1
    /// Event queue enabled.
    public static let EVENTQEN: UInt32 = 1 << 2
    /// Command queue enabled.
    public static let CMDQEN: UInt32 = 1 << 3
    /// ATS Translated transactions are checked against the STE.
    public static let ATSCHK: UInt32 = 1 << 4
    /// VMID wildcard, bits [8:6].
    public static let VMW: UInt32 = 0b111 << 6
}

/// SMMU_CR2 (6.3.12).
public enum CR2 {
    /// EL2 contexts have ASIDs.
    public static let E2H: UInt32 = 1 << 0
    /// Invalid StreamIDs are recorded.
    public static let RECINVSID: UInt32 = 1 << 1
    /// Broadcast TLB invalidation is ignored.
    public static let PTM: UInt32 = 1 << 2
    /// Configuration errors of ATS requests are recorded.
    public static let REC_CFG_ATS: UInt32 = 1 << 3
}

/// SMMU_GBPA (6.3.14).
public enum GBPA {
    /// Transactions are aborted while SMMUEN = 0.
    public static let ABORT: UInt32 = 1 << 20
    /// Write 1 to update; reads 1 until the update is done.
    public static let Update: UInt32 = 1 << 31
}

/// SMMU_IRQ_CTRL and IRQ_CTRLACK (6.3.16).
public enum IRQ_CTRL {
    /// Global Error interrupts.
    public static let GERROR_IRQEN: UInt32 = 1 << 0
    /// PRI queue interrupts.
    public static let PRIQ_IRQEN: UInt32 = 1 << 1
    /// Event queue interrupts.
    public static let EVENTQ_IRQEN: UInt32 = 1 << 2
}

/// SMMU_GERROR and GERRORN (6.3.19).
public enum GERROR {
    /// CMDQ_CONS.ERR holds a command error.
    public static let CMDQ_ERR: UInt32 = 1 << 0
    /// A write to the event queue aborted.
    public static let EVENTQ_ABT_ERR: UInt32 = 1 << 2
    /// A write to the PRI queue aborted.
    public static let PRIQ_ABT_ERR: UInt32 = 1 << 3
    /// The MSI of a CMD_SYNC aborted.
    public static let MSI_CMDQ_ABT_ERR: UInt32 = 1 << 4
    /// The MSI of the event queue aborted.
    public static let MSI_EVENTQ_ABT_ERR: UInt32 = 1 << 5
    /// The MSI of the PRI queue aborted.
    public static let MSI_PRIQ_ABT_ERR: UInt32 = 1 << 6
    /// The MSI of a Global Error aborted.
    public static let MSI_GERROR_ABT_ERR: UInt32 = 1 << 7
    /// Service Failure Mode.
    public static let SFM_ERR: UInt32 = 1 << 8
}

/// SMMU_STRTAB_BASE_CFG (6.3.25).
public enum STRTAB_BASE_CFG {
    /// A linear table of 2^log2Size STEs.
    public static func linear(log2Size: UInt32) -> UInt32 { log2Size & 0x3f }
    /// A two-level table: level 1 indexed by StreamID[log2Size - 1:split].
    public static func twoLevel(log2Size: UInt32, split: UInt32) -> UInt32 {
        (1 << 16) | ((split & 0x1f) << 6) | (log2Size & 0x3f)
    }
}

/// What is common to the base registers of tables and queues.
public enum BaseRegister {
    /// Read-allocate or write-allocate hint, bit [62].
    public static let allocate: UInt64 = 1 << 62
    /// Mask of the address bits that a queue base can hold, bits [55:5].
    public static let queueAddress: UInt64 = 0x00ff_ffff_ffff_ffe0
    /// Mask of the address bits that STRTAB_BASE can hold, bits [55:6].
    public static let tableAddress: UInt64 = 0x00ff_ffff_ffff_ffc0
}

/// SMMU_CMDQ_CONS (6.3.28).
public enum CMDQ_CONS {
    /// Why the last command failed, bits [30:24].
    public static let ERR: UInt32 = 0x7f00_0000
}

/// Producer and consumer index registers.
public enum QueueIndex {
    /// EVENTQ_PROD.OVFLG, EVENTQ_CONS.OVACKFLG and their PRI counterparts.
    public static let overflow: UInt32 = 1 << 31
    /// The wrap bit and index, bits [19:0].
    public static let index: UInt32 = 0xf_ffff
}
