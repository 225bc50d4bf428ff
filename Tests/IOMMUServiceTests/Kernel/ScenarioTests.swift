import Foundation
import JSONRPC
import ServiceTestSupport
import Testing

@testable import IOMMUService

/// The scenarios over the emulated backend; `Tests/Support/check-kernel` plays them over a real kernel.
@Suite struct ScenarioTests {
    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Scenarios")

    private static func scenarios() throws -> [Scenario] {
        let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "scenarios" }.flatMap {
            try Scenario.parse(try String(contentsOf: $0, encoding: .utf8))
        }
    }

    @Test func theyComeOutAsWritten() throws {
        for scenario in try Self.scenarios() {
            let client = try ServiceBench().connect()
            let complaints = scenario.play { method, params in
                try client.answer(method, params) ?? client.receive()
            }
            #expect(complaints.isEmpty, "\(complaints)")
        }
    }

    @Test func differencesAreFewAndOfScenariosThatThereAre() throws {
        let file = Self.directory.appendingPathComponent("differences")
        let differences = try ScenarioDifferences(try String(contentsOf: file, encoding: .utf8))
        #expect(differences.lines <= ScenarioDifferences.mostLines)
        let scenarios = try Self.scenarios()
        #expect(Set(scenarios.map(\.title)).count == scenarios.count, "a title is unique")
        for (title, methods) in differences.expectations {
            let steps = try #require(scenarios.first { $0.title == title }, "\(title)").steps
            for method in methods.keys { #expect(steps.contains { $0.method == method }, "\(title): \(method)") }
        }
    }

    @Test func mistakesInFilesAreFound() {
        #expect(throws: Scenario.Malformed.self) { try Scenario.parse("ioas.alloc {}") }
        #expect(throws: Scenario.Malformed.self) { try Scenario.parse("== a\nioas.alloc {") }
        #expect(throws: Scenario.Malformed.self) { try Scenario.parse("== a\n> ioas.alloc {} ENOENT") }
        #expect(throws: Scenario.Malformed.self) { try ScenarioDifferences("a | b | ok |") }
    }

    @Test func whatIsNotAsWrittenIsTold() throws {
        let text = "== a\nx.make {} -> id $id = {\"list\":[{\"a\":1}]}\n> x.end {\"id\":$id} EBUSY in_use"
        let scenario = try #require(try Scenario.parse(text).first)
        func play(_ first: String, _ second: String) -> Int {
            var replies = [first, second]
            return scenario.play { _, params in
                if replies.count == 1 { #expect(params == #"{"id":7}"#) }
                return try JSONValue(parsing: replies.removeFirst())
            }.count
        }
        let made = #"{"result":{"id":7,"list":[{"a":1,"b":2}]}}"#
        let refused = #"{"error":{"data":{"errno":"EBUSY","reason":"in_use"}}}"#
        #expect(play(made, refused) == 0)
        #expect(play(made, #"{"result":{}}"#) == 1)
        #expect(play(#"{"result":{"id":7,"list":[{"a":2}]}}"#, refused) == 1)
        #expect(play(refused, refused) == 1)
    }
}
