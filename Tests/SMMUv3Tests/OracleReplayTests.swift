import SMMUv3
import Testing

/// Recorded transactions against the model: equal, or different for a reason that the architecture gives.
///
/// Left of each pair is what the architecture (and the model) says, right what QEMU did.
@Suite struct OracleReplayTests {
    @Test func linuxStage1() throws {
        try replay(
            "oracle-s1-4k", agreed: 358,
            [.AP: 6, .ignored: 2, .startLevelBlock: 2, .tableBeyond: 2, .span: 2, .bypassBeyond: 1])
    }

    @Test func linuxStage2() throws {
        try replay(
            "oracle-s2-4k", agreed: 296,
            [
                .stage2OnlyBeyond: 10, .ignored: 4, .smallS2PS: 2, .HTTU: 4, .startLevel: 2, .startLevelBlock: 2,
                .tableBeyond: 2, .span: 2, .bypassBeyond: 1,
            ])
    }

    @Test func linuxNested() throws {
        try replay(
            "oracle-nested-4k", agreed: 577,
            [
                .ignored: 6, .smallS2PS: 2, .AP: 6, .stage2OnlyBeyond: 5, .HTTU: 4, .tableBeyond: 4,
                .startLevelBlock: 4, .span: 4, .flash: 2, .startLevel: 2, .bypassBeyond: 1, .lostS2: 1, .RnW: 2,
            ])
    }

    @Test(
        arguments: [
            ("oracle-qtest-s1", 6652), ("oracle-qtest-s2-sample", 825), ("oracle-qtest-nested-sample", 1725),
            ("oracle-fid-s1-9101", 6558), ("oracle-fid-s2-9101", 3312),
        ])
    func synthetic(_ name: String, agreed: Int) throws {
        let differences = try differences(name)
        for difference in differences.list {
            #expect(difference.reason != nil, "\(difference.text)")
        }
        #expect(differences.agreed == agreed)
    }

    private func replay(_ name: String, agreed: Int, _ expected: [Divergence: Int]) throws {
        let differences = try differences(name)
        #expect(differences.agreed == agreed)
        var counts: [Divergence: Int] = [:]
        for difference in differences.list {
            guard let reason = difference.reason else {
                Issue.record("unexplained: \(difference.text)")
                continue
            }
            counts[reason, default: 0] += 1
        }
        #expect(counts == expected)
    }

    // MARK: Replay

    private struct Difference {
        let reason: Divergence?
        let text: String
    }

    private func differences(_ name: String) throws -> (agreed: Int, list: [Difference]) {
        let oracle = try Oracle(name)
        var agreed = 0
        var list: [Difference] = []
        for state in oracle.states {
            let smmu = try SMMU(memory: state.memory, identification: oracle.identification)
            try oracle.bringUp(smmu, state.registers)
            for transaction in state.list {
                let PROD = try smmu.readRegister(Register.EVENTQ_PROD.rawValue, width: 4)
                try smmu.writeRegister(Register.EVENTQ_CONS.rawValue, width: 4, value: PROD)
                let ours = Outcome(
                    smmu.translate(
                        Transaction(
                            streamID: transaction.streamID, address: transaction.address, access: transaction.access)))
                let theirs = Outcome(transaction)
                if ours == theirs {
                    agreed += 1
                } else {
                    let text = "\(transaction.description): \(ours), QEMU \(theirs)"
                    list.append(Difference(reason: Divergence(ours, theirs, transaction), text: text))
                }
            }
        }
        return (agreed, list)
    }
}

/// A transaction's end, without what the architecture leaves open: IPA[11:0] and the word of F_CD_FETCH's FetchAddr.
struct Outcome: Equatable, CustomStringConvertible {
    /// "ok", "bypass", "abort" or the event.
    let kind: String
    let address: UInt64
    /// Empty if nothing was recorded.
    let record: [UInt64]

    init(_ translation: Translation) {
        switch translation {
        case .ok(let output): self.init(output.pageSize == 0 ? "bypass" : "ok", output.address)
        case .fault(let event, let recorded): self.init(fault: event.type?.name ?? "", recorded ? event.words : [])
        case .stalled, .held: self.init("stalled", 0)
        case .terminated(let reason): self.init(reason == .steAbort ? "abort" : reason.rawValue, 0)
        }
    }

    init(_ recorded: Oracle.Recorded) {
        switch recorded.type {
        case "fault": self.init(fault: recorded.event, recorded.records.first ?? [])
        case "bypass": self.init("bypass", recorded.address)
        default: self.init(recorded.type, recorded.PA ?? 0)
        }
    }

    private init(_ kind: String, _ address: UInt64) {
        (self.kind, self.address, record) = (kind, address, [])
    }

    private init(fault: String, _ words: [UInt64]) {
        address = 0
        guard words.count == 4 else {
            // CD.R or STE.S2R is 0: QEMU does not tell which fault it was.
            (kind, record) = ("silent", [])
            return
        }
        kind = fault
        record =
            fault == "F_CD_FETCH"
            ? [words[0], words[1], 0, words[2] | words[3]] : [words[0], words[1], words[2], words[3] & ~0xfff]
    }

    var description: String { "\(kind) \(record.map { String($0, radix: 16) }) \(String(address, radix: 16))" }
}

/// Why model and QEMU differ, by section of IHI 0070.
enum Divergence: Hashable {
    /// AP[1] and APTable[0] govern unprivileged accesses (3.3.4, VMSAv8-64); QEMU ignores them.
    case AP
    /// S1CDMax is IGNORED with SSIDSIZE = 0, S1* fields where stage 1 does not translate (5.2); QEMU: C_BAD_STE.
    case ignored
    /// S2PS caps outputs, not S2T0SZ (5.2 S2PS): accepted here, C_BAD_STE in QEMU; open.
    case smallS2PS
    /// A level 0 block is no valid 4 KiB descriptor (VMSAv8-64): F_TRANSLATION.
    case startLevelBlock
    /// A table address beyond the effective IPS or S2PS is F_ADDR_SIZE (7.3.14); QEMU walks there.
    case tableBeyond
    /// L1STD.Span n means 2^(n-1) STEs and at most SPLIT + 1 (5.1, 7.3.3).
    case span
    /// STE bypass checks the input against the OAS: F_ADDR_SIZE (3.4).
    case bypassBeyond
    /// Skipped stage 1 checks the input against the IAS and records it (3.4, 7.3.14); QEMU records nothing.
    case stage2OnlyBeyond
    /// S2HA, S2HD, HA and HD are ILLEGAL without IDR0.HTTU (5.2, 5.4).
    case HTTU
    /// S2SL0 inconsistent with S2T0SZ is ILLEGAL (5.2 S2SL0).
    case startLevel
    /// QEMU's machine has flash at address 0, the model's memory has nothing there: F_CD_FETCH.
    case flash
    /// A fault of stage 2 for a stage 1 table has S2 = 1 (7.3.13).
    case lostS2
    /// RnW is that of the input transaction, not of the table access (7.3).
    case RnW
    /// F_ADDR_SIZE of a descriptor comes before F_ACCESS and F_PERMISSION of the leaf (7.3.22).
    case order
    /// APTable[1] is checked with the leaf, not on the way to it (7.3.22).
    case earlyAPTable
    /// TBI0 and TBI1 hold for their own half (5.4 TBI1, 3.4.1).
    case TBI
    /// The index of a concatenated start table counts in full (5.2 S2SL0, VMSAv8-64).
    case concatenated

    init?(_ ours: Outcome, _ theirs: Outcome, _ transaction: Oracle.Recorded) {
        let label = transaction.label
        func has(_ words: String...) -> Bool { words.contains { label.contains($0) } }
        switch (ours.kind, theirs.kind) {
        case ("C_BAD_STREAMID", _) where has("span"): self = .span
        case ("F_ADDR_SIZE", "bypass"): self = .bypassBeyond
        case ("F_ADDR_SIZE", "silent") where !ours.record.isEmpty && ours.record[1] >> 39 & 1 == 0:
            self = .stage2OnlyBeyond
        case ("C_BAD_STE", _) where has("S2HA", "S2HD", "s2ha", "s2hd"): self = .HTTU
        case ("C_BAD_STE", "F_TRANSLATION") where has("S2T0SZ"): self = .startLevel
        case ("F_CD_FETCH", "C_BAD_CD") where has("cfg=5-s1"): self = .flash
        case ("F_ADDR_SIZE", "F_WALK_EABT") where has("next-beyond"): self = .tableBeyond
        case ("F_TRANSLATION", "F_ACCESS") where has("block-at-start-level"): self = .startLevelBlock
        case ("F_TRANSLATION", "F_TRANSLATION") where has("table-ipa-unmapped"): self = .lostS2
        case (_, "C_BAD_STE") where has("S2PS"): self = .smallS2PS
        case (_, "C_BAD_STE") where has("s1cdmax", "STE:s1stalld"): self = .ignored
        default:
            guard let other = Divergence.inTables(ours, theirs, transaction) else {
                return nil
            }
            self = other
        }
    }

    /// Divergences of walks, told by what the case was made of.
    private static func inTables(_ ours: Outcome, _ theirs: Outcome, _ transaction: Oracle.Recorded) -> Divergence? {
        let tags = Set(transaction.label.split(separator: " ").map(String.init))
        func has(_ words: String...) -> Bool {
            words.contains { tags.contains($0) || transaction.label.contains("PTE:" + $0) }
        }
        if ours.kind == theirs.kind, ours.record.count == 4, theirs.record.count == 4,
            ours.record[1] ^ theirs.record[1] == 1 << 35
        {
            return .RnW
        }
        if has("s2concat") {
            return .concatenated
        }
        let isTagged = transaction.address >> 56 != (transaction.address >> 55 & 1 == 0 ? 0 : 0xff)
        if has("tbi1", "tbi2", "tbi3"), isTagged {
            return .TBI
        }
        if ours.kind == "F_ADDR_SIZE", has("pa-beyond-oas", "pa-beyond-ps", "ipa-beyond") {
            return .order
        }
        if transaction.access == .write, theirs.kind == "F_PERMISSION", has("aptable") {
            return .earlyAPTable
        }
        let isLenient = theirs.kind == "ok" || ours.kind == "F_PERMISSION"
        return isLenient && (has("ap-priv-only", "aptable") || transaction.label.contains("AP")) ? .AP : nil
    }
}
