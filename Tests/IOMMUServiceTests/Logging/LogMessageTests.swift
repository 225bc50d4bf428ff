import Foundation
import Testing

@testable import IOMMUService

@Suite struct LogMessageTests {
    @Test func everyMessageIsExplainedInTheCatalogOnce() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../systemd/iommud.catalog")
        let catalog = try String(contentsOf: file.standardizedFileURL, encoding: .utf8)
        let explained = catalog.split(separator: "\n").filter { $0.hasPrefix("-- ") }.map { String($0.dropFirst(3)) }
        let messages = LogMessage.allCases.map(\.id.description)
        #expect(explained.sorted() == messages.sorted())
        #expect(Set(messages).count == messages.count)
    }
}
