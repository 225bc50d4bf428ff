import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// Every recorded step through our driver: the same commands, all 128 bits, the same writes of entries at the same
/// places among them, and the same entries afterwards; or a line that says why not.
@Suite struct CommandOracleTests {
    /// What is done otherwise, on purpose.
    struct Difference: Sendable {
        let steps: Set<String>
        /// nil: all.
        var runs: Set<String>?
        let why: String

        func concerns(_ run: String, _ step: String) -> Bool { steps.contains(step) && runs?.contains(run) ?? true }
    }

    static let differences = [
        Difference(
            steps: ["driver probe, devices added", "bind 1", "bind 2", "close the cdev of A", "rescan the PCI bus"],
            why: "a stream that nobody has aborts, from the start and again: no device passes through"),
        Difference(
            steps: [
                "replace IOAS 1 by IOAS 2", "replace B: IOAS 2 -> IOAS 1, A stays", "pasid: replace PASID 5 h2 -> h1",
                "pasid: replace PASID 5 h1 -> h2", "fault: replace by IOAS 1 without faults",
            ],
            why: "a CD is exchanged through a spare table, a VMID and table through a VMID of its own: no V = 0"),
        Difference(
            steps: ["replace S1 by nest parent S2", "replace S2 by S1"],
            why: "stage 1 and stage 2 are exchanged word by word under a VMID of its own: no V = 0"),
        Difference(
            steps: ["hwpt.invalidate NH_VA, then CFGI_STE"],
            why: "the good commands before a bad one are done, as the count says"),
        Difference(
            steps: ["hwpt.invalidate ATC_INV"], runs: ["plain", "noril", "fwb"],
            why: "without ATS the command is illegal: it would stop the queue"),
        Difference(
            steps: ["hwpt.invalidate NH_VAA range"], runs: ["noril"],
            why: "without RIL the fields of a range are reserved"),
        Difference(
            steps: ["dirty S1: tracking on"],
            why: "dirty bits that were cleared are invalidated: a TLB that holds the dirty state would hide writes"),
        Difference(
            steps: ["remove the PCI device"],
            why: "a leaf of the stream table without devices is given back, and forgotten"),
    ]

    @Test func everyStepIsRecordedAndKnown() throws {
        let oracle = try #require(CommandOracle.shared)
        #expect(oracle.steps.count == 560)
        for step in oracle.steps { #expect(oracle.sequence[step.run]?.contains(step.step) == true) }
    }

    @Test(arguments: ["plain", "noril", "ats", "pasid", "pasidats", "hd", "stall", "s1", "s2", "fwb"])
    func replay(_ run: String) throws {
        let oracle = try #require(CommandOracle.shared)
        let replay = try CommandReplay(oracle, run: run)
        var recorded: [Int: CommandOracle.Step] = [:]
        for step in oracle.steps where step.run == run {
            recorded[try #require(step.id.split(separator: "/").last.flatMap { Int($0) })] = step
        }
        if let first = recorded[0] {
            let bringUp = replay.bench.driver.queue.commands(since: 0, limit: 100).map(\.command.words)
            #expect(bringUp.map { $0.map(CommandOracle.text) } == Array(first.commands.prefix(4)))
        }
        for (index, name) in try #require(oracle.sequence[run]).enumerated() {
            var isKnown = true
            let commands = try replay.commands { isKnown = try replay.perform(name) }
            #expect(isKnown, "\(run)/\(index) \(name)")
            if let step = recorded[index] { compare(replay, step, commands) }
        }
        #expect(replay.bench.driver.queue.errors == 0)
    }

    private func compare(_ replay: CommandReplay, _ step: CommandOracle.Step, _ commands: [[String]]) {
        let label = "\(step.id) \(step.step)"
        for (streamID, words) in step.ste {
            let found = replay.streamEntry(UInt32(CommandOracle.word(streamID)))
            #expect(found == CommandReplay.expected(words), "\(label): STE \(streamID)")
        }
        for (place, words) in step.cd {
            let parts = place.split(separator: "/").map(String.init)
            let found = replay.contextDescriptor(UInt32(CommandOracle.word(parts[0])), UInt32(parts[1]) ?? 0)
            #expect(found == words, "\(label): CD \(place)")
        }
        let writes = step.writes.filter { $0.entry != nil }
        let isEqual = commands == step.commands && replay.writes == writes
        guard !Self.differences.contains(where: { $0.concerns(step.run, step.step) }) else {
            #expect(!isEqual, "\(label) is no different any more")
            return
        }
        #expect(commands == step.commands, "\(label)")
        #expect(replay.writes == writes, "\(label)")
    }
}
