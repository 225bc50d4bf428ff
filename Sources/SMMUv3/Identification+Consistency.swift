// What the ID registers say of each other, and of the version.

extension Identification {
    static let reservedBits: [IdentificationRule] = [
        .reserved("IDR0", \.IDR0, 31, 31),
        .reserved("IDR0", \.IDR0, 29, 29),
        // BA_VATOS has a meaning with VATOS only.
        .reserved("IDR2", \.IDR2, 31, 0),
        .reserved("IDR3", \.IDR3, 31, 24),
        .reserved("IDR3", \.IDR3, 6, 6),
        .reserved("IDR3", \.IDR3, 1, 0),
        .reserved("IDR5", \.IDR5, 15, 12),
        .reserved("IDR5", \.IDR5, 9, 9),
        .reserved("IDR5", \.IDR5, 3, 3),
        .reserved("AIDR", \.AIDR, 31, 8),
        // Bit 7 of a JEP106 code (6.3.7); the rest of IIDR, and all of IDR4, is the implementer's.
        .reserved("IIDR", \.IIDR, 7, 7),
    ]

    /// Fields that need another one. IDR3.HAD and XNX, VMID16 and ASID16 may be there without their stage: that does no
    /// harm, and there are such SMMUs (QEMU's).
    static let featureRules: [IdentificationRule] = [
        IdentificationRule("IDR0.HYP", \.IDR0, 9, 9, "HYP with both stages only") {
            $1 == 0 || $0.hasS1P && $0.hasS2P
        },
        IdentificationRule("IDR0.NS1ATS", \.IDR0, 11, 11, "NS1ATS with ATS and both stages only") {
            $1 == 0 || $0.hasATS && $0.hasS1P && $0.hasS2P
        },
        IdentificationRule("IDR0.VMW", \.IDR0, 17, 17, "VMW with stage 2 only") { $1 == 0 || $0.hasS2P },
        IdentificationRule("IDR0.ATSRECERR", \.IDR0, 23, 23, "ATSRECERR with ATS only") { $1 == 0 || $0.hasATS },
        IdentificationRule("IDR0.ST_LEVEL", \.IDR0, 28, 27, "0b01 where IDR1.SIDSIZE is 7 or more") {
            $1 != 0 || $0.field(\.IDR1, 5, 0) < 7
        },
        IdentificationRule("IDR1.PRIQS", \.IDR1, 15, 11, "at least 1 where IDR0.PRI is 1") { $1 != 0 || !$0.hasPRI },
        IdentificationRule("IDR1.SSIDSIZE", \.IDR1, 10, 6, "0 without stage 1") { $1 == 0 || $0.hasS1P },
        IdentificationRule("IDR3.PBHA", \.IDR3, 3, 3, "PBHA with HAD only") { $1 == 0 || $0.has(\.IDR3, 2) },
        IdentificationRule("IDR3.PPS", \.IDR3, 5, 5, "PPS with PRI and SubstreamIDs only") {
            $1 == 0 || $0.hasPRI && $0.field(\.IDR1, 10, 6) != 0
        },
        IdentificationRule("IDR3.PTWNNC", \.IDR3, 14, 14, "PTWNNC with stage 2 only") { $1 == 0 || $0.hasS2P },
        IdentificationRule("IDR3.MTEPERM", \.IDR3, 22, 22, "MTEPERM with stage 2 only") { $1 == 0 || $0.hasS2P },
        IdentificationRule("IDR5.OAS", \.IDR5, 2, 0, "52 bits with GRAN64K only") { $1 < 6 || $0.has(\.IDR5, 6) },
        IdentificationRule("IDR5.VAX", \.IDR5, 11, 10, "52 bits with GRAN64K only") { $1 == 0 || $0.has(\.IDR5, 6) },
        IdentificationRule("IDR5.STALL_MAX", \.IDR5, 31, 16, "0 where IDR0.STALL_MODEL allows no stalls") {
            $1 == 0 || $0.field(\.IDR0, 25, 24) != 0b01
        },
    ]

    /// What a version of the architecture leaves no choice about.
    static let versionRules: [IdentificationRule] = [
        IdentificationRule("IDR0.HYP", \.IDR0, 9, 9, "1 with both stages from SMMUv3.2 on") {
            $1 == 1 || $0.minorRevision < 2 || !$0.hasS1P || !$0.hasS2P
        },
        IdentificationRule("IDR3.HAD", \.IDR3, 2, 2, "1 with stage 1 from SMMUv3.1 on") {
            $1 == 1 || $0.minorRevision < 1 || !$0.hasS1P
        },
        IdentificationRule("IDR3.PBHA", \.IDR3, 3, 3, "0 in SMMUv3.0") { $1 == 0 || $0.minorRevision > 0 },
        IdentificationRule("IDR3.XNX", \.IDR3, 4, 4, "0 in SMMUv3.0, and 1 with stage 2 from SMMUv3.1 on") {
            $0.minorRevision == 0 ? $1 == 0 : $1 == 1 || !$0.hasS2P
        },
        IdentificationRule("IDR3.FWB", \.IDR3, 8, 8, "1 from SMMUv3.2 on") { $1 == 1 || $0.minorRevision < 2 },
        IdentificationRule("IDR3.RIL", \.IDR3, 10, 10, "1 from SMMUv3.2 on") { $1 == 1 || $0.minorRevision < 2 },
        IdentificationRule("IDR3.BBML", \.IDR3, 12, 11, "0b01 or 0b10 from SMMUv3.2 on") {
            $1 != 0 || $0.minorRevision < 2
        },
        IdentificationRule("IDR3.E0PD", \.IDR3, 13, 13, "1 from SMMUv3.3 on") { $1 == 1 || $0.minorRevision < 3 },
        IdentificationRule("IDR3.PTWNNC", \.IDR3, 14, 14, "1 with stage 2 from SMMUv3.3 on") {
            $1 == 1 || $0.minorRevision < 3 || !$0.hasS2P
        },
        IdentificationRule("IDR3.EPAN", \.IDR3, 17, 17, "1 in SMMUv3.4") { $1 == 1 || $0.minorRevision < 4 },
        IdentificationRule("IDR3.MTEPERM", \.IDR3, 22, 22, "1 with stage 2 in SMMUv3.4") {
            $1 == 1 || $0.minorRevision < 4 || !$0.hasS2P
        },
        IdentificationRule("IDR5.OAS", \.IDR5, 2, 0, "at most 0b101, 48 bits, in SMMUv3.0") {
            $1 < 6 || $0.minorRevision > 0
        },
        IdentificationRule("IDR5.VAX", \.IDR5, 11, 10, "0 in SMMUv3.0") { $1 == 0 || $0.minorRevision > 0 },
    ]

    /// The features of IDR3 that a version makes mandatory, and none that it lacks, put in place of those given.
    ///
    /// - Parameter version: the n of SMMUv3.n.
    public func fitted(to version: UInt32) -> Identification {
        var words = self
        func set(_ position: UInt32, _ isSet: Bool) {
            words.IDR3 = words.IDR3 & ~(1 << position) | (isSet ? 1 << position : 0)
        }
        if version == 0 {
            for position in [3, 4] as [UInt32] { set(position, false) }
        }
        if version >= 3 {
            set(13, true)
            set(14, hasS2P)
        }
        if version >= 4 {
            set(17, true)
            set(22, hasS2P)
        }
        return words
    }
}
