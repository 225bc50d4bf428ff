/// The ID registers decoded into what the model asks of them.
struct Features {
    let stage1: Bool
    let stage2: Bool
    let broadcast: Bool
    /// IDR0.HTTU: 0 none, 1 Access flag, 2 dirty state too.
    let HTTU: UInt64
    /// IDR0.HTTU = 0b11: Access flags of table descriptors, too.
    var HAFT: Bool { HTTU == 0b11 }
    let hyp: Bool
    let ATS: Bool
    let NS1ATS: Bool
    let ASID16: Bool
    let MSI: Bool
    let SEV: Bool
    let PRI: Bool
    let VMW: Bool
    let VMID16: Bool
    let CD2L: Bool
    let ATSRECERR: Bool
    /// 0 stall and terminate, 1 terminate only, 2 stall only.
    let stallModel: UInt64
    let terminateAlwaysAborts: Bool
    let twoLevelStreamTable: Bool
    let overridesTypes: Bool
    let overridesPermissions: Bool
    let maximumCommandQueue: UInt32
    let maximumEventQueue: UInt32
    let maximumPRIQueue: UInt32
    let SSIDSIZE: UInt64
    let SIDSIZE: UInt64
    let HAD: Bool
    let PPS: Bool
    let XNX: Bool
    let FWB: Bool
    let STT: Bool
    let RIL: Bool
    let E0PD: Bool
    let EPAN: Bool
    let granule4K: Bool
    let granule16K: Bool
    let granule64K: Bool
    /// VAs of 52 bits through 64 KiB tables.
    let largeVA: Bool
    /// Output address size in bits; the IAS too, as there are no AArch32 tables.
    let OAS: Int
    let stallMaximum: Int

    init(_ words: Identification) {
        let IDR0 = UInt64(words.IDR0)
        let IDR1 = UInt64(words.IDR1)
        let IDR3 = UInt64(words.IDR3)
        let IDR5 = UInt64(words.IDR5)
        (stage2, stage1, broadcast) = (IDR0.bit(0), IDR0.bit(1), IDR0.bit(5))
        HTTU = IDR0.bits(7, 6)
        (hyp, ATS, NS1ATS) = (IDR0.bit(9), IDR0.bit(10), IDR0.bit(11))
        (ASID16, MSI, SEV) = (IDR0.bit(12), IDR0.bit(13), IDR0.bit(14))
        (PRI, VMW) = (IDR0.bit(16), IDR0.bit(17))
        (VMID16, CD2L, ATSRECERR) = (IDR0.bit(18), IDR0.bit(19), IDR0.bit(23))
        stallModel = IDR0.bits(25, 24)
        terminateAlwaysAborts = IDR0.bit(26)
        twoLevelStreamTable = IDR0.bits(28, 27) == 1
        (overridesTypes, overridesPermissions) = (IDR1.bit(27), IDR1.bit(26))
        maximumCommandQueue = UInt32(IDR1.bits(25, 21))
        maximumEventQueue = UInt32(IDR1.bits(20, 16))
        maximumPRIQueue = UInt32(IDR1.bits(15, 11))
        (SSIDSIZE, SIDSIZE) = (IDR1.bits(10, 6), IDR1.bits(5, 0))
        (HAD, XNX, PPS, FWB) = (IDR3.bit(2), IDR3.bit(4), IDR3.bit(5), IDR3.bit(8))
        (STT, RIL, E0PD, EPAN) = (IDR3.bit(9), IDR3.bit(10), IDR3.bit(13), IDR3.bit(17))
        (granule4K, granule16K, granule64K) = (IDR5.bit(4), IDR5.bit(5), IDR5.bit(6))
        largeVA = IDR5.bits(11, 10) == 1
        OAS = Features.addressBits(IDR5.bits(2, 0), limit: 52)
        stallMaximum = Int(IDR5.bits(31, 16))
    }

    /// Bits of an encoded address size (OAS, IPS, S2PS), capped at `limit` (5.4 IPS).
    static func addressBits(_ encoding: UInt64, limit: Int) -> Int {
        let bits =
            switch encoding {
            case 0: 32
            case 1: 36
            case 2: 40
            case 3: 42
            case 4: 44
            case 5: 48
            default: 52
            }
        return min(bits, limit)
    }

    /// Whether tables of a granule of 2^`bits` bytes are implemented.
    func supports(granuleBits bits: Int) -> Bool {
        switch bits {
        case 12: granule4K
        case 14: granule16K
        case 16: granule64K
        default: false
        }
    }
}
