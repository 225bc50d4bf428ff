import Foundation
import Testing

@testable import LinuxIO

@Suite struct InstalledMemoryTests {
    /// The groups `a` and `a/b`, with what their memory.max says.
    private func withGroups(_ limits: [String: String], _ body: (String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "groups-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: root) }
        for (group, limit) in limits {
            let directory = root.appending(path: group)
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try limit.write(
                to: directory.appending(path: "memory.max"), atomically: false, encoding: .utf8)
        }
        try body(root.path)
    }

    @Test func theSmallestLimitOnTheWayUpHolds() throws {
        try withGroups(["a": "4096\n", "a/b": "8192\n", "c": "max\n"]) { root in
            #expect(InstalledMemory.limit(membership: "0::/a/b\n", root: root) == 4096)
            #expect(InstalledMemory.limit(membership: "1:name=x:/y\n0::/a\n", root: root) == 4096)
            #expect(InstalledMemory.limit(membership: "0::/c\n", root: root) == nil)
            #expect(InstalledMemory.limit(membership: "0::/\n", root: root) == nil)
            #expect(InstalledMemory.limit(membership: "4:memory:/a\n", root: root) == nil)
        }
    }

    @Test func thereIsSome() { #expect(InstalledMemory.bytes > 1 << 20) }
}
