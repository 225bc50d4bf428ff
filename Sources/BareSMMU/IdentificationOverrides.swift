import IOMMU
import SMMUv3

extension Identification {
    /// Of a bare SMMU that nobody asks anything of: the laboratory's `smmu0` with HYP, MSI and AIDR of SMMUv3.1.
    static var bare: Identification {
        var words = Identification.laboratory
        words.IDR0 |= 1 << 9 | 1 << 13
        words.AIDR = 1
        return words
    }

    /// ``bare`` with some words given by a client. A word that is not given keeps to those that are: IDR3 has what the
    /// version in AIDR makes mandatory, IDR1.SIDSIZE has room in a linear stream table, and IDR5.STALL_MAX is 0 without
    /// stalls.
    init(overrides: [IDRegister: UInt32]) {
        self = .bare
        for (register, value) in overrides {
            switch register {
            case .IDR0: IDR0 = value
            case .IDR1: IDR1 = value
            case .IDR2: IDR2 = value
            case .IDR3: IDR3 = value
            case .IDR4: IDR4 = value
            case .IDR5: IDR5 = value
            case .IIDR: IIDR = value
            case .AIDR: AIDR = value
            }
        }
        if overrides[.IDR3] == nil { self = fitted(to: AIDR & 0xf) }
        if overrides[.IDR1] == nil, IDR0 >> 27 & 0b11 == 0 { IDR1 = IDR1 & ~0x3f | 6 }
        if overrides[.IDR5] == nil, IDR0 >> 24 & 0b11 == 0b01 { IDR5 &= 0xffff }
    }

    /// Refuses what a bare SMMU would not honour, and what no SMMU can be, naming the field.
    func validateBare() throws(IdentificationError) {
        try validate()
        guard IDR0 & 1 << 5 == 0 else {
            throw IdentificationError(
                field: "IDR0.BTM", value: 1,
                explanation: "the model accepts 0: no broadcasts of the guest's CPUs reach it")
        }
        try validateConsistency()
    }
}
