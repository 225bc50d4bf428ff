import Foundation
import SMMUv3

/// What a production driver did: commands, writes of entries and the entries afterwards, step by step.
struct CommandOracle: Decodable {
    struct Write: Decodable, Equatable {
        /// Commands of the step that came first.
        let before: Int
        /// "ste", "cd" or "l1cd".
        let entry: String?
        let word: Int?
        let value: String?
    }

    struct Step: Decodable {
        let id: String
        let run: String
        let step: String
        let result: String?
        let commands: [[String]]
        let writes: [Write]
        /// By StreamID.
        let ste: [String: [String]]
        /// By StreamID and SubstreamID.
        let cd: [String: [String]]
    }

    struct Run: Decodable {
        let forced_in_the_driver: [String]
        let registers: [String: String]
    }

    let runs: [String: Run]
    /// Every step of a run in order, also those that are not recorded here.
    let sequence: [String: [String]]
    let steps: [Step]

    static let shared: CommandOracle? = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures/oracles/arm-commands-7.2.json")
        guard let data = try? Data(contentsOf: file) else { return nil }
        return try? JSONDecoder().decode(CommandOracle.self, from: data)
    }()

    static func word(_ text: String) -> UInt64 { UInt64(text.dropFirst(2), radix: 16) ?? 0 }
    static func text(_ word: UInt64) -> String { "0x" + String(word, radix: 16) }

    /// The ID registers of a run, with what was forced in the driver as if the SMMU had it.
    func identification(_ run: String) -> Identification? {
        guard let run = runs[run] else { return nil }
        func register(_ name: String) -> UInt32 { UInt32(Self.word(run.registers[name] ?? "0x0")) }
        var words = Identification(
            IDR0: register("IDR0"), IDR1: register("IDR1"), IDR3: register("IDR3"), IDR5: register("IDR5"), AIDR: 1)
        for feature in run.forced_in_the_driver {
            switch feature {
            case "RANGE_INV cleared": words.IDR3 &= ~(1 << 10)
            case "ATS": words.IDR0 |= 1 << 10
            case "2_LVL_CDTAB": words.IDR0 |= 1 << 19
            case "HA": words.IDR0 |= 1 << 6
            case "HD": words.IDR0 = words.IDR0 & ~(3 << 6) | 2 << 6
            case "S2FWB": words.IDR3 |= 1 << 8
            case "STALLS":
                words.IDR0 &= ~(3 << 24)
                words.IDR5 |= 256 << 16
            default:
                if feature.hasPrefix("SSIDSIZE="), let bits = UInt32(feature.dropFirst("SSIDSIZE=".count)) {
                    words.IDR1 |= bits << 6
                }
            }
        }
        return words
    }
}
