import Foundation
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// The recorded transitions of a production driver's own unit tests.
@Suite struct DriverEntryWriterTests {
    struct Recording: Decodable {
        struct Side: Decodable {
            let qwords: [String]
            let used_bits: [String]
        }
        struct Step: Decodable {
            let qwords: [String]
            let v_cleared: Bool
        }
        struct Transition: Decodable {
            let test: String
            let entry: String
            let hitless: Bool
            let num_syncs_expected: Int
            let from: Side
            let to: Side
            let steps: [Step]
        }
        let transitions: [Transition]
    }

    static func words(_ texts: [String]) -> [UInt64] { texts.map { UInt64($0.dropFirst(2), radix: 16) ?? 0 } }

    static let transitions: [Recording.Transition] = {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kunit-transitions.json")
        guard let data = try? Data(contentsOf: file),
            let recording = try? JSONDecoder().decode(Recording.self, from: data)
        else { return [] }
        return recording.transitions
    }()

    /// Keeps what memory holds at every sync.
    final class Medium: EntryMedium {
        var memory: [UInt64]
        var atSync: [[UInt64]] = []
        var storesSinceSync = 0

        init(_ words: [UInt64]) { memory = words }
        func store(_ value: UInt64, at address: UInt64) {
            memory[Int(address / 8)] = value
            storesSinceSync += 1
        }
        func synchronize(_ scope: EntryScope) {
            #expect(storesSinceSync > 0)
            storesSinceSync = 0
            atSync.append(memory)
        }
    }

    private func run<Entry: TableEntry>(_ transition: Recording.Transition, _ make: ([UInt64]) -> Entry) {
        let (from, to) = (Self.words(transition.from.qwords), Self.words(transition.to.qwords))
        let (start, target) = (make(from), make(to))
        func list(_ entry: Entry) -> [UInt64] { (0..<8).map { entry[$0] } }
        #expect(list(start.usedBits) == Self.words(transition.from.used_bits), "used bits of from")
        #expect(list(target.usedBits) == Self.words(transition.to.used_bits), "used bits of to")
        let medium = Medium(from)
        var current = start
        EntryWriter(medium: medium, address: 0, scope: .ste(streamID: 1)).write(target, over: &current)
        #expect(medium.storesSinceSync == 0)
        #expect(medium.memory == to)
        #expect(current == target)
        #expect(medium.atSync.count == transition.num_syncs_expected)
        #expect(medium.atSync == transition.steps.map { Self.words($0.qwords) })
        // Hitless there means that V was never seen 0, which a change from or to V = 0 cannot be.
        let sawInvalid = medium.atSync.contains { $0[0] == 0 }
        #expect(sawInvalid != transition.hitless)
    }

    @Test func allTransitionsAreRecorded() { #expect(Self.transitions.count == 29) }

    @Test(arguments: 0..<29) func transition(_ index: Int) throws {
        let transition = try #require(Self.transitions.indices.contains(index) ? Self.transitions[index] : nil)
        if transition.entry == "STE" {
            run(transition) { StreamTableEntry(words: $0) }
        } else {
            run(transition) { ContextDescriptor(words: $0) }
        }
    }

    @Test func unchangedEntryIsNotWritten() {
        let medium = Medium([0x9, 0x1000_0000_0000, 0, 0, 0, 0, 0, 0])
        var current = StreamTableEntry(words: medium.memory)
        EntryWriter(medium: medium, address: 0, scope: .ste(streamID: 1)).write(current, over: &current)
        #expect(medium.atSync.isEmpty)
    }
}
