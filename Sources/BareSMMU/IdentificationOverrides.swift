import IOMMU
import SMMUv3

extension Identification {
    /// An identity with some words given by a client. A word that is not given is the identity's, unless those that are
    /// leave it no choice: IDR3 has what the version in AIDR makes mandatory, IDR5.STALL_MAX is 0 without stalls.
    init(_ identity: BareIdentity, overrides: [IDRegister: UInt32]) {
        self = .of(identity)
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
        if overrides[.IDR5] == nil, IDR0 >> 24 & 0b11 == 0b01 { IDR5 &= 0xffff }
    }

    private static var mostStalls: UInt32 { 4096 }

    /// Refuses what a bare SMMU would not honour, and what no SMMU can be, naming the field.
    func validateBare() throws(IdentificationError) {
        try validate()
        try validateConsistency()
        // One register write can end them all, and their VMM is told of each.
        guard IDR5 >> 16 <= Self.mostStalls else {
            throw IdentificationError(
                field: "IDR5.STALL_MAX", value: IDR5 >> 16, explanation: "the model accepts at most \(Self.mostStalls)")
        }
    }
}

// MARK: - Identities

extension Identification {
    static func of(_ identity: BareIdentity) -> Identification {
        switch identity {
        case .standard: .standard
        case .linux: .linux
        case .qemu: .qemu
        case .small: .small
        case .full: .full
        }
    }

    /// The laboratory's `smmu0` with HYP, MSI and AIDR of SMMUv3.1.
    private static var standard: Identification {
        var words = Identification.laboratory
        words.IDR0 |= 1 << 9 | 1 << 13
        words.AIDR = 1
        return words
    }

    /// SMMUv3.2 with all granules and 48 bits of output, so that a kernel of any page size runs.
    private static var linux: Identification {
        var words = standard
        words.IDR5 = words.IDR5 & ~0x77 | 0b111 << 4 | 0b101
        words.AIDR = 2
        return words
    }

    /// The words of hw/arm/smmuv3.c of QEMU 11.1 with both stages: no stalls, no ATS, no SubstreamIDs, no HTTU.
    private static var qemu: Identification {
        Identification(IDR0: 0x0d44_101b, IDR1: 0x0273_0010, IDR3: 0x1414, IDR5: 0x74, AIDR: 1)
    }

    /// SMMUv3.2 with 64 streams in a linear table.
    private static var small: Identification {
        var words = standard
        words.IDR0 &= ~(0b11 << 27)
        words.IDR1 = words.IDR1 & ~0x3f | 6
        words.AIDR = 2
        return words
    }

    /// What the model has, as SMMUv3.2: besides `linux` VMID wildcards, ATSRECERR, overrides of attributes, queues of
    /// 2^19, SubstreamIDs of 20 bits, small translation tables and PASIDs in answers to page requests.
    private static var full: Identification {
        var words = linux
        words.IDR0 |= 1 << 17 | 1 << 23
        let queues: UInt32 = 19 << 21 | 19 << 16 | 19 << 11
        words.IDR1 = 0b11 << 26 | queues | 20 << 6 | 16
        words.IDR3 |= 1 << 5 | 1 << 9
        return words
    }
}
