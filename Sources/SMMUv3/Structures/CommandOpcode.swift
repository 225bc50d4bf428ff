/// Command opcodes of the Non-secure command queue (4.1.1).
///
/// Opcodes that a Non-secure queue never accepts (EL3, Secure, Realm) are not listed: they are CERROR_ILL.
public enum CommandOpcode: UInt8, CaseIterable, Sendable {
    case PREFETCH_CONFIG = 0x01
    case PREFETCH_ADDR = 0x02
    case CFGI_STE = 0x03
    /// CMD_CFGI_ALL is this opcode with Range = 31.
    case CFGI_STE_RANGE = 0x04
    case CFGI_CD = 0x05
    case CFGI_CD_ALL = 0x06
    case CFGI_VMS_PIDM = 0x07
    case TLBI_NH_ALL = 0x10
    case TLBI_NH_ASID = 0x11
    case TLBI_NH_VA = 0x12
    case TLBI_NH_VAA = 0x13
    case TLBI_EL2_ALL = 0x20
    case TLBI_EL2_ASID = 0x21
    case TLBI_EL2_VA = 0x22
    case TLBI_EL2_VAA = 0x23
    case TLBI_S12_VMALL = 0x28
    case TLBI_S2_IPA = 0x2a
    case TLBI_NSNH_ALL = 0x30
    case ATC_INV = 0x40
    case PRI_RESP = 0x41
    case RESUME = 0x44
    case STALL_TERM = 0x45
    case SYNC = 0x46
    case DPTI_ALL = 0x70
    case DPTI_PA = 0x73

    /// The name with the prefix of IHI 0070, such as `"CMD_CFGI_STE"`.
    public var name: String { "CMD_\(self)" }
}

/// Error codes in SMMU_CMDQ_CONS.ERR (7.1).
public enum CommandError: UInt32, Sendable {
    case CERROR_NONE = 0
    case CERROR_ILL = 1
    case CERROR_ABT = 2
    case CERROR_ATC_INV_SYNC = 3
}
