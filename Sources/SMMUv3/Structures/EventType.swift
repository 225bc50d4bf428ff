/// Event numbers (7.3).
public enum EventType: UInt8, CaseIterable, Sendable {
    case F_UUT = 0x01
    case C_BAD_STREAMID = 0x02
    case F_STE_FETCH = 0x03
    case C_BAD_STE = 0x04
    case F_BAD_ATS_TREQ = 0x05
    case F_STREAM_DISABLED = 0x06
    case F_TRANSL_FORBIDDEN = 0x07
    case C_BAD_SUBSTREAMID = 0x08
    case F_CD_FETCH = 0x09
    case C_BAD_CD = 0x0a
    case F_WALK_EABT = 0x0b
    case F_TRANSLATION = 0x10
    case F_ADDR_SIZE = 0x11
    case F_ACCESS = 0x12
    case F_PERMISSION = 0x13
    case F_TLB_CONFLICT = 0x20
    case F_CFG_CONFLICT = 0x21
    case E_PAGE_REQUEST = 0x24
    case F_VMS_FETCH = 0x25

    /// The architectural name, such as `"F_TRANSLATION"`.
    public var name: String { "\(self)" }

    /// Whether the record holds InputAddr, access attributes, class and stage.
    public var isTranslationFault: Bool {
        switch self {
        case .F_WALK_EABT, .F_TRANSLATION, .F_ADDR_SIZE, .F_ACCESS, .F_PERMISSION: true
        default: false
        }
    }
}

/// CLASS of a translation fault: what the access was for (7.3).
public enum EventClass: UInt64, Sendable {
    /// CD fetch.
    case CD = 0b00
    /// Stage 1 table descriptor fetch.
    case TTD = 0b01
    /// The input address itself.
    case IN = 0b10
}
