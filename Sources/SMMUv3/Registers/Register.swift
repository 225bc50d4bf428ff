/// Byte offsets of the Non-secure registers in pages 0 and 1 (6.2).
public enum Register: UInt32, CaseIterable, Sendable {
    case IDR0 = 0x0000
    case IDR1 = 0x0004
    case IDR2 = 0x0008
    case IDR3 = 0x000c
    case IDR4 = 0x0010
    case IDR5 = 0x0014
    case IIDR = 0x0018
    case AIDR = 0x001c
    case CR0 = 0x0020
    case CR0ACK = 0x0024
    case CR1 = 0x0028
    case CR2 = 0x002c
    case STATUSR = 0x0040
    case GBPA = 0x0044
    case AGBPA = 0x0048
    case IRQ_CTRL = 0x0050
    case IRQ_CTRLACK = 0x0054
    case GERROR = 0x0060
    case GERRORN = 0x0064
    case GERROR_IRQ_CFG0 = 0x0068
    case GERROR_IRQ_CFG1 = 0x0070
    case GERROR_IRQ_CFG2 = 0x0074
    case STRTAB_BASE = 0x0080
    case STRTAB_BASE_CFG = 0x0088
    case CMDQ_BASE = 0x0090
    case CMDQ_PROD = 0x0098
    case CMDQ_CONS = 0x009c
    case EVENTQ_BASE = 0x00a0
    case EVENTQ_IRQ_CFG0 = 0x00b0
    case EVENTQ_IRQ_CFG1 = 0x00b8
    case EVENTQ_IRQ_CFG2 = 0x00bc
    case PRIQ_BASE = 0x00c0
    case PRIQ_IRQ_CFG0 = 0x00d0
    case PRIQ_IRQ_CFG1 = 0x00d8
    case PRIQ_IRQ_CFG2 = 0x00dc
    case EVENTQ_PROD = 0x100a8
    case EVENTQ_CONS = 0x100ac
    case PRIQ_PROD = 0x100c8
    case PRIQ_CONS = 0x100cc

    /// The name as IHI 0070 spells it without `SMMU_`.
    public var name: String { "\(self)" }

    /// Size in bytes: 8 for base and address registers, else 4.
    public var width: Int {
        switch self {
        case .GERROR_IRQ_CFG0, .STRTAB_BASE, .CMDQ_BASE, .EVENTQ_BASE, .EVENTQ_IRQ_CFG0, .PRIQ_BASE,
            .PRIQ_IRQ_CFG0:
            8
        default: 4
        }
    }
}
