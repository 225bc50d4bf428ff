/// The values behind the writable registers, as software reads them back.
struct RegisterFile {
    var CR0: UInt32 = 0
    var CR1: UInt32 = 0
    var CR2: UInt32 = 0
    /// Resets to "use incoming" attributes without abort.
    var GBPA: UInt32 = 0b01 << 12
    var IRQ_CTRL: UInt32 = 0
    var GERROR: UInt32 = 0
    var GERRORN: UInt32 = 0
    var GERROR_IRQ_CFG0: UInt64 = 0
    var GERROR_IRQ_CFG1: UInt32 = 0
    var GERROR_IRQ_CFG2: UInt32 = 0
    var STRTAB_BASE: UInt64 = 0
    var STRTAB_BASE_CFG: UInt32 = 0
    var CMDQ_BASE: UInt64 = 0
    var CMDQ_PROD: UInt32 = 0
    var CMDQ_CONS: UInt32 = 0
    var EVENTQ_BASE: UInt64 = 0
    var EVENTQ_PROD: UInt32 = 0
    var EVENTQ_CONS: UInt32 = 0
    var EVENTQ_IRQ_CFG0: UInt64 = 0
    var EVENTQ_IRQ_CFG1: UInt32 = 0
    var EVENTQ_IRQ_CFG2: UInt32 = 0
    var PRIQ_BASE: UInt64 = 0
    var PRIQ_PROD: UInt32 = 0
    var PRIQ_CONS: UInt32 = 0
    var PRIQ_IRQ_CFG0: UInt64 = 0
    var PRIQ_IRQ_CFG1: UInt32 = 0
    var PRIQ_IRQ_CFG2: UInt32 = 0

    /// The Global Errors that software has not acknowledged yet.
    var activeErrors: UInt32 { GERROR ^ GERRORN }

    /// Whether a CR0 enable is set.
    @inline(__always)
    func isEnabled(_ flag: UInt32) -> Bool { CR0 & flag != 0 }
}

extension RegisterFile {
    /// The registers out of reset. Both values of CR2 are UNKNOWN by architecture: errors show, and broadcasts are
    /// ignored until software asks.
    init(_ features: Features) {
        self.init()
        CR2 = SMMUv3.CR2.RECINVSID | (features.broadcast ? SMMUv3.CR2.PTM : 0)
    }
}
