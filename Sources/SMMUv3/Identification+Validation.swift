/// What one field of an identification has to be.
struct IdentificationRule: Sendable {
    /// Register and field, or register and bits of what is Reserved.
    let name: String
    let word: KeyPath<Identification, UInt32> & Sendable
    let high: Int
    let low: Int
    /// What would be accepted.
    let accepted: String
    let isMet: @Sendable (Identification, UInt32) -> Bool

    /// - Parameter isMet: of the whole identification and the value of the field.
    init(
        _ name: String, _ word: KeyPath<Identification, UInt32> & Sendable, _ high: Int, _ low: Int,
        _ accepted: String, _ isMet: @escaping @Sendable (Identification, UInt32) -> Bool
    ) {
        (self.name, self.word, self.high, self.low) = (name, word, high, low)
        (self.accepted, self.isMet) = (accepted, isMet)
    }

    /// A feature that the model does not have.
    static func absent(
        _ name: String, _ word: KeyPath<Identification, UInt32> & Sendable, _ position: Int
    ) -> IdentificationRule {
        IdentificationRule(name, word, position, position, "0, which the model does not implement") { $1 == 0 }
    }

    /// Bits without a meaning.
    static func reserved(
        _ register: String, _ word: KeyPath<Identification, UInt32> & Sendable, _ high: Int, _ low: Int
    ) -> IdentificationRule {
        let bits = high == low ? "[\(high)]" : "[\(high):\(low)]"
        return IdentificationRule(register + bits, word, high, low, "0 in Reserved bits") { $1 == 0 }
    }

    func check(_ words: Identification) throws(IdentificationError) {
        let value = words.field(word, high, low)
        guard isMet(words, value) else {
            throw IdentificationError(field: name, value: value, explanation: "the model accepts \(accepted)")
        }
    }
}

extension Identification {
    /// Refuses what the model cannot honour, naming the field. Whoever makes an ``SMMU`` need not call it.
    public func validate() throws(IdentificationError) {
        for rule in Self.modelRules { try rule.check(self) }
    }

    /// Refuses what no implementation can say of itself, naming the field: Reserved bits, fields without the feature
    /// that gives them their meaning, and what the version in AIDR makes mandatory (6.3.1-6.3.8).
    public func validateConsistency() throws(IdentificationError) {
        for rule in Self.reservedBits + Self.featureRules + Self.versionRules { try rule.check(self) }
    }

    /// A field of a word, right-aligned.
    func field(_ word: KeyPath<Identification, UInt32>, _ high: Int, _ low: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: UInt64(self[keyPath: word]).bits(high, low))
    }

    /// One bit of a word.
    func has(_ word: KeyPath<Identification, UInt32>, _ position: Int) -> Bool { field(word, position, position) == 1 }

    var hasS1P: Bool { has(\.IDR0, 1) }
    var hasS2P: Bool { has(\.IDR0, 0) }
    var hasATS: Bool { has(\.IDR0, 10) }
    var hasPRI: Bool { has(\.IDR0, 16) }
    /// The n of SMMUv3.n.
    var minorRevision: UInt32 { field(\.AIDR, 3, 0) }
}

// MARK: - The model

extension Identification {
    private static let modelRules: [IdentificationRule] =
        modelRulesOfIDR0 + modelRulesOfIDR1 + modelRulesOfIDR3 + [
            IdentificationRule("IDR5.GRAN4K", \.IDR5, 6, 4, "at least one granule") { $1 != 0 },
            IdentificationRule("IDR5.OAS", \.IDR5, 2, 0, "at most 0b110, 52 bits") { $1 <= 6 },
            .absent("IDR5.DS", \.IDR5, 7),
            .absent("IDR5.D128", \.IDR5, 8),
            IdentificationRule("IDR5.VAX", \.IDR5, 11, 10, "0b00 or 0b01") { $1 < 2 },
            IdentificationRule("IDR5.STALL_MAX", \.IDR5, 31, 16, "at least 1 where IDR0.STALL_MODEL allows stalls") {
                $0.field(\.IDR0, 25, 24) == 0b01 || $1 != 0
            },
            IdentificationRule("AIDR", \.AIDR, 7, 0, "0x0 to 0x4, SMMUv3.0 to SMMUv3.4") { $1 <= 4 },
        ]

    private static let modelRulesOfIDR0: [IdentificationRule] = [
        IdentificationRule("IDR0.S1P", \.IDR0, 1, 0, "S1P or S2P, or both") { $1 != 0 },
        IdentificationRule("IDR0.TTF", \.IDR0, 3, 2, "0b10, AArch64 tables") { $1 == 0b10 },
        .absent("IDR0.ATOS", \.IDR0, 15),
        .absent("IDR0.VATOS", \.IDR0, 20),
        IdentificationRule("IDR0.PRI", \.IDR0, 16, 16, "PRI with ATS only") { $1 == 0 || $0.hasATS },
        IdentificationRule("IDR0.TTENDIAN", \.IDR0, 22, 21, "0b10, little-endian tables") { $1 == 0b10 },
        IdentificationRule("IDR0.STALL_MODEL", \.IDR0, 25, 24, "0b00, 0b01 or 0b10") { $1 != 0b11 },
        IdentificationRule("IDR0.ST_LEVEL", \.IDR0, 28, 27, "0b00 or 0b01") { $1 < 2 },
        .absent("IDR0.RME_IMPL", \.IDR0, 30),
    ]

    private static let modelRulesOfIDR1: [IdentificationRule] = [
        .absent("IDR1.ECMDQ", \.IDR1, 31),
        .absent("IDR1.TABLES_PRESET", \.IDR1, 30),
        .absent("IDR1.QUEUES_PRESET", \.IDR1, 29),
        .absent("IDR1.REL", \.IDR1, 28),
        IdentificationRule("IDR1.CMDQS", \.IDR1, 25, 21, "at most 19") { $1 <= 19 },
        IdentificationRule("IDR1.EVENTQS", \.IDR1, 20, 16, "at most 19") { $1 <= 19 },
        IdentificationRule("IDR1.PRIQS", \.IDR1, 15, 11, "at most 19") { $1 <= 19 },
        IdentificationRule("IDR1.SSIDSIZE", \.IDR1, 10, 6, "at most 20") { $1 <= 20 },
        IdentificationRule("IDR1.SIDSIZE", \.IDR1, 5, 0, "at most 32") { $1 <= 32 },
    ]

    private static let modelRulesOfIDR3: [IdentificationRule] = [
        .absent("IDR3.MPAM", \.IDR3, 7),
        IdentificationRule("IDR3.BBML", \.IDR3, 12, 11, "0b00, 0b01 or 0b10") { $1 != 0b11 },
        .absent("IDR3.DPT", \.IDR3, 15),
        .absent("IDR3.PASIDTT", \.IDR3, 16),
        .absent("IDR3.S1PI", \.IDR3, 18),
        .absent("IDR3.S2PI", \.IDR3, 19),
        .absent("IDR3.S2PO", \.IDR3, 20),
        .absent("IDR3.THE", \.IDR3, 21),
        .absent("IDR3.AIE", \.IDR3, 23),
    ]
}
