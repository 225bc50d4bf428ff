import SMMUv3
import Testing

/// What an identification may say (6.3.1-6.3.8): each bit of each word, and words that contradict each other.
@Suite struct IdentificationTests {
    typealias Word = WritableKeyPath<Identification, UInt32> & Sendable

    /// The laboratory as SMMUv3.1 with HYP.
    private static var base: Identification { .laboratory.with(\.IDR0, 9, 9, 1).with(\.AIDR, 7, 0, 1) }

    /// The field that is refused, nil if none is.
    private func refusal(_ words: Identification) -> String? {
        do throws(IdentificationError) {
            try words.validate()
            try words.validateConsistency()
            return nil
        } catch {
            return error.field
        }
    }

    /// What is refused if a bit of ``base`` is flipped, by the first and last such bit; the others are accepted.
    private static let refusals: [(String, Word, [(ClosedRange<UInt32>, String)])] = [
        (
            "IDR0", \.IDR0,
            [
                (0...1, "IDR0.HYP"), (2...3, "IDR0.TTF"), (10...10, "IDR0.PRI"),
                (15...15, "IDR0.ATOS"), (20...20, "IDR0.VATOS"), (21...22, "IDR0.TTENDIAN"),
                (24...24, "IDR5.STALL_MAX"), (27...28, "IDR0.ST_LEVEL"), (29...29, "IDR0[29]"),
                (30...30, "IDR0.RME_IMPL"), (31...31, "IDR0[31]"),
            ]
        ),
        (
            "IDR1", \.IDR1,
            [
                (5...5, "IDR1.SIDSIZE"), (9...9, "IDR1.SSIDSIZE"), (13...15, "IDR1.PRIQS"), (18...19, "IDR1.EVENTQS"),
                (23...24, "IDR1.CMDQS"), (28...28, "IDR1.REL"), (29...29, "IDR1.QUEUES_PRESET"),
                (30...30, "IDR1.TABLES_PRESET"), (31...31, "IDR1.ECMDQ"),
            ]
        ),
        ("IDR2", \.IDR2, [(0...31, "IDR2[31:0]")]),
        (
            "IDR3", \.IDR3,
            [
                (0...1, "IDR3[1:0]"), (2...2, "IDR3.HAD"), (4...4, "IDR3.XNX"), (6...6, "IDR3[6]"),
                (7...7, "IDR3.MPAM"), (11...11, "IDR3.BBML"), (15...15, "IDR3.DPT"), (16...16, "IDR3.PASIDTT"),
                (18...18, "IDR3.S1PI"), (19...19, "IDR3.S2PI"), (20...20, "IDR3.S2PO"), (21...21, "IDR3.THE"),
                (23...23, "IDR3.AIE"), (24...31, "IDR3[31:24]"),
            ]
        ),
        ("IDR4", \.IDR4, []),
        (
            "IDR5", \.IDR5,
            [
                (1...1, "IDR5.OAS"), (3...3, "IDR5[3]"), (4...4, "IDR5.GRAN4K"), (7...7, "IDR5.DS"),
                (8...8, "IDR5.D128"), (9...9, "IDR5[9]"), (10...11, "IDR5.VAX"), (12...15, "IDR5[15:12]"),
                (24...24, "IDR5.STALL_MAX"),
            ]
        ),
        ("IIDR", \.IIDR, [(7...7, "IIDR[7]")]),
        (
            "AIDR", \.AIDR,
            [(0...0, "IDR3.XNX"), (1...1, "IDR3.E0PD"), (2...7, "AIDR"), (8...31, "AIDR[31:8]")]
        ),
    ]

    @Test func everyBit() {
        #expect(refusal(Self.base) == nil)
        for (name, word, refusals) in Self.refusals {
            for bit in 0..<32 as Range<UInt32> {
                var words = Self.base
                words[keyPath: word] ^= 1 << bit
                let expected = refusals.first { $0.0.contains(bit) }?.1
                #expect(refusal(words) == expected, "\(name) bit \(bit)")
            }
        }
    }

    private struct Change: Sendable {
        let word: Word
        let high: UInt32
        let low: UInt32
        let value: UInt32

        init(_ word: Word, _ high: UInt32, _ low: UInt32, _ value: UInt32) {
            (self.word, self.high, self.low, self.value) = (word, high, low, value)
        }
    }

    /// Fields that take another one, and the version.
    private static let together: [(String?, [Change])] = [
        (nil, [Change(\.IDR5, 2, 0, 6), Change(\.IDR5, 6, 6, 1)]),
        (nil, [Change(\.IDR5, 11, 10, 1), Change(\.IDR5, 6, 6, 1)]),
        ("IDR5.OAS", [Change(\.IDR5, 2, 0, 6), Change(\.IDR5, 5, 5, 1)]),
        ("IDR5.OAS", [Change(\.IDR5, 2, 0, 7), Change(\.IDR5, 6, 6, 1)]),
        ("IDR1.SSIDSIZE", [Change(\.IDR0, 1, 1, 0), Change(\.IDR0, 9, 9, 0)]),
        (nil, [Change(\.IDR0, 1, 1, 0), Change(\.IDR0, 9, 9, 0), Change(\.IDR1, 10, 6, 0)]),
        (nil, [Change(\.IDR0, 0, 0, 0), Change(\.IDR0, 9, 9, 0)]),
        ("IDR0.VMW", [Change(\.IDR0, 0, 0, 0), Change(\.IDR0, 9, 9, 0), Change(\.IDR0, 17, 17, 1)]),
        ("IDR0.NS1ATS", [Change(\.IDR0, 0, 0, 0), Change(\.IDR0, 9, 9, 0), Change(\.IDR0, 11, 11, 1)]),
        ("IDR0.NS1ATS", [Change(\.IDR0, 10, 10, 0), Change(\.IDR0, 16, 16, 0), Change(\.IDR0, 11, 11, 1)]),
        ("IDR0.ATSRECERR", [Change(\.IDR0, 10, 10, 0), Change(\.IDR0, 16, 16, 0), Change(\.IDR0, 23, 23, 1)]),
        (nil, [Change(\.IDR0, 10, 10, 0), Change(\.IDR0, 16, 16, 0), Change(\.IDR1, 15, 11, 0)]),
        (nil, [Change(\.IDR0, 28, 27, 0), Change(\.IDR1, 5, 0, 6)]),
        ("IDR0.ST_LEVEL", [Change(\.IDR0, 28, 27, 0), Change(\.IDR1, 5, 0, 7)]),
        (nil, [Change(\.IDR0, 25, 24, 1), Change(\.IDR5, 31, 16, 0)]),
        ("IDR3.PPS", [Change(\.IDR3, 5, 5, 1), Change(\.IDR1, 10, 6, 0)]),
        ("IDR3.PPS", [Change(\.IDR3, 5, 5, 1), Change(\.IDR0, 16, 16, 0)]),
        ("IDR3.PBHA", [Change(\.IDR3, 3, 2, 2)]),
        ("IDR3.PTWNNC", [Change(\.IDR0, 0, 0, 0), Change(\.IDR0, 9, 9, 0), Change(\.IDR3, 14, 14, 1)]),
        ("IDR3.MTEPERM", [Change(\.IDR0, 0, 0, 0), Change(\.IDR0, 9, 9, 0), Change(\.IDR3, 22, 22, 1)]),
        (nil, [Change(\.AIDR, 7, 0, 2)]),
        ("IDR0.HYP", [Change(\.AIDR, 7, 0, 2), Change(\.IDR0, 9, 9, 0)]),
        ("IDR3.RIL", [Change(\.AIDR, 7, 0, 2), Change(\.IDR3, 10, 10, 0)]),
        ("IDR3.BBML", [Change(\.AIDR, 7, 0, 2), Change(\.IDR3, 12, 11, 0)]),
        ("IDR3.FWB", [Change(\.AIDR, 7, 0, 2), Change(\.IDR3, 8, 8, 0)]),
        (nil, [Change(\.AIDR, 7, 0, 1), Change(\.IDR3, 12, 8, 0)]),
        ("IDR3.PTWNNC", [Change(\.AIDR, 7, 0, 3), Change(\.IDR3, 13, 13, 1)]),
        (nil, [Change(\.AIDR, 7, 0, 3), Change(\.IDR3, 14, 13, 3)]),
        ("IDR3.EPAN", [Change(\.AIDR, 7, 0, 4), Change(\.IDR3, 14, 13, 3)]),
        ("IDR3.MTEPERM", [Change(\.AIDR, 7, 0, 4), Change(\.IDR3, 14, 13, 3), Change(\.IDR3, 17, 17, 1)]),
        (nil, [Change(\.AIDR, 7, 0, 0), Change(\.IDR3, 4, 4, 0)]),
        ("IDR3.PBHA", [Change(\.AIDR, 7, 0, 0), Change(\.IDR3, 4, 3, 1)]),
        (
            "IDR5.VAX",
            [
                Change(\.AIDR, 7, 0, 0), Change(\.IDR3, 4, 4, 0), Change(\.IDR5, 11, 10, 1), Change(\.IDR5, 6, 6, 1),
            ]
        ),
        (
            "IDR5.OAS",
            [Change(\.AIDR, 7, 0, 0), Change(\.IDR3, 4, 4, 0), Change(\.IDR5, 2, 0, 6), Change(\.IDR5, 6, 6, 1)]
        ),
    ]

    @Test func wordsTogether() {
        for (index, (field, changes)) in Self.together.enumerated() {
            let words = changes.reduce(Self.base) { $0.with($1.word, $1.high, $1.low, $1.value) }
            #expect(refusal(words) == field, "row \(index)")
        }
    }

    @Test(arguments: 0...4 as ClosedRange<UInt32>)
    func everyVersionCanBe(_ minor: UInt32) throws {
        let words = Self.base.with(\.AIDR, 7, 0, minor).fitted(to: minor)
        #expect(refusal(words) == nil)
        #expect(try Machine(words).read(.AIDR) == UInt64(minor))
    }

    @Test(
        arguments: [
            "oracle-s1-4k", "oracle-s2-4k", "oracle-nested-4k", "oracle-qtest-s1", "oracle-qtest-s2-sample",
            "oracle-qtest-nested-sample", "oracle-fid-s1-9101", "oracle-fid-s2-9101",
        ])
    func whatQEMUSaysOfItselfCanBe(_ name: String) throws {
        #expect(refusal(try Oracle(name).identification) == nil)
    }

    /// An SMMU that a program makes for itself has to be one that the model can honour, no more.
    @Test func theModelRefusesWhatItCannotHonour() {
        #expect(throws: IdentificationError.self) {
            try SMMU(memory: SparseMemory(), identification: Self.base.with(\.IDR3, 15, 15, 1))
        }
        #expect(throws: Never.self) { try SMMU(memory: SparseMemory(), identification: .laboratory) }
    }
}
