import Foundation
import JSONRPC
import TestSupport
import Testing

/// What stands on a terminal.
struct ScreenTests {
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    /// What a command shows on a terminal of so many columns, without what makes colours.
    private func screen(
        _ columns: Int, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> String {
        let terminal = try PlayedTerminal(columns: columns)
        let settings = ["IOMMUD_SOCKET": daemon.socket, "TERM": "xterm", "NO_COLOR": ""].merging(environment) { $1 }
        let process = try ChildProcess(
            BuiltProgram.iommuctl, arguments, environment: settings,
            streams: (terminal.program, terminal.program))
        let text = terminal.readAll()
        #expect(process.wait() == 0, "\(process.text)")
        return text
    }

    private static func plain(_ text: String) -> [String] {
        var text = text.split(separator: "\r\n", omittingEmptySubsequences: false).joined(separator: "\n")
        while let start = text.range(of: "\u{1b}["), let end = text[start.upperBound...].firstIndex(where: \.isLetter) {
            text.removeSubrange(start.lowerBound...end)
        }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    @Test(arguments: [80, 120])
    func everythingFits(columns: Int) throws {
        let client = try daemon.connect()
        _ = try client.call("session.attach", #"{"name":"vm1"}"#)
        let guest = try NestedGuest(client)
        try guest.attach()
        _ = try client.call("smmu.commands", #"{"smmu":"smmu0"}"#)
        let screens: [[String]] = [
            ["topology"], ["topology", "--full"], ["objects", "vm1"], ["status"], ["sessions"], ["methods"],
            ["ioas", "map", "--help"], ["device", "--help"], ["methods", "vsmmu.translate"],
            ["translate", "--session", "vm1", "0000:01:00.0", "0x10"],
            ["translate", "--session", "vm1", "0000:01:00.0", "0x10", "--full"],
            ["translate", "--session", "vm1", "0000:01:00.0", "0xdead000"],
            ["call", "smmu.commands", "smmu=smmu0"], ["call", "smmu.cache", "smmu=smmu0"], ["call", "topology.list"],
            ["ioas", "mappings", "--session", "vm1", "1"], ["demo"], ["watch", "--count", "1"],
        ]
        for words in screens {
            let shown = try screen(columns, words)
            for line in Self.plain(shown) where words != ["demo"] || line.contains("│") {
                #expect(line.count <= columns, "\(words): \(line)")
            }
        }
    }

    @Test func coloursAreOnlyWhereTheyAreWanted() throws {
        #expect(try screen(80, ["topology"]).contains("\u{1b}[1m"))
        #expect(try !screen(80, ["topology"], environment: ["NO_COLOR": "1"]).contains("\u{1b}"))
        #expect(try !screen(80, ["topology"], environment: ["TERM": "dumb"]).contains("\u{1b}"))
        #expect(try !CommandLineRun(daemon, ["--table", "topology"]).text.contains("\u{1b}"))
    }

    @Test func walksAreTreesWithStageTwoBelowWhatItResolves() throws {
        let client = try daemon.connect()
        _ = try client.call("session.attach", #"{"name":"vm1"}"#)
        let guest = try NestedGuest(client)
        try guest.attach()
        let words = ["translate", "--session", "vm1", "0000:01:00.0", "0x10"]
        let lines = Self.plain(try screen(120, words))
        #expect(lines[0] == "0000:01:00.0 reads 0x10 as StreamID 0x100 of smmu0")
        #expect(lines[1].hasPrefix("├─ STE  stage 1 and stage 2, S1ContextPtr 0x10001000"))
        #expect(lines[2].hasPrefix("├─ CD  ASID 9, 48-bit input"))
        #expect(lines[4].hasPrefix("│  ├─ level 0  ") && lines[4].contains("[0]"))
        #expect(lines[5].hasPrefix("│  │  └─ IPA 0x10002000 by stage 2: page → 0x"))
        #expect(lines.contains { $0.hasPrefix("├─ IPA 0x10010010 by stage 2: page → 0x") }, "\(lines)")
        #expect(lines.filter { $0.contains("✗") }.isEmpty)
        // All four levels of the five walks.
        let full = Self.plain(try screen(120, words + ["--full"]))
        #expect(full.filter { $0.contains("level ") }.count == 4 + 5 * 4, "\(full)")

        let fault = Self.plain(try screen(120, ["translate", "--session", "vm1", "0000:01:00.0", "0x40000000"]))
        #expect(fault.contains { $0.contains("level 1") && $0.contains("invalid  ✗ F_TRANSLATION") }, "\(fault)")
        // The method's own command shows the walk, too.
        let method = ["smmu", "translate", "--session", "vm1", "--device", "2", "--iova", "16", "--trace"]
        let traced = Self.plain(try screen(120, method))
        #expect(traced[0] == "read of 0x10" && traced.contains { $0.hasPrefix("└─ → 0x") }, "\(traced)")
        // Without memory it is the CD that cannot be found.
        _ = try client.call("ioas.unmap", #"{"ioas":1,"iova":0,"length":"0xffffffffffffffff"}"#)
        let lost = Self.plain(try screen(120, words))
        #expect(lost.contains { $0.hasPrefix("├─ IPA 0x10001000 by stage 2: invalid  ✗ F_TRANSLATION") }, "\(lost)")
    }

    @Test func dirtyPagesAreRangesAndBytesAreDumped() throws {
        let client = try daemon.connect()
        _ = try client.call("session.attach", #"{"name":"vm1"}"#)
        _ = try client.call("memory.create", #"{"size":1048576,"name":"ram"}"#)
        _ = try client.call("ioas.alloc", "{}")
        _ = try client.call("ioas.set_option", #"{"ioas":1,"huge_pages":false}"#)
        _ = try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":1048576,"iova":"0x100000"}"#)
        _ = try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        _ = try client.call("hwpt.alloc", #"{"device":2,"pt":1,"flags":["dirty_tracking"]}"#)
        _ = try client.call("device.attach", #"{"device":2,"pt":3}"#)
        _ = try client.call("hwpt.set_dirty_tracking", #"{"hwpt":3,"enable":true}"#)
        for iova in ["0x101000", "0x102000", "0x108000"] {
            _ = try client.call("dma.write", #"{"device":2,"iova":"\#(iova)","data":"aGVsbG8="}"#)
        }
        let read = Self.plain(try screen(80, ["dma", "read", "--session", "vm1", "0000:01:00.0", "0x101000", "5"]))
        #expect(read[0] == "0000  68 65 6c 6c 6f                                   hello", "\(read)")
        let dirty = Self.plain(
            try screen(80, ["hwpt", "get-dirty-bitmap", "--session", "vm1", "3", "1M", "1M", "--page-size", "4K"]))
        #expect(dirty[1] == "0x101000  0x102fff  2      8 KiB", "\(dirty)")
        #expect(dirty[2] == "0x108000  0x108fff  1      4 KiB")
        #expect(dirty[3] == "3 dirty pages of 4 KiB")
    }

    @Test func watchingFollowsTheSizeAndEndsCleanly() throws {
        let terminal = try PlayedTerminal(columns: 80)
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["watch", "--interval", "3600"],
            environment: ["IOMMUD_SOCKET": daemon.socket, "TERM": "xterm"],
            streams: (terminal.program, terminal.program))
        let shown = try terminal.wait(for: "SESSION")
        terminal.resize(columns: 120)
        process.signal(SIGWINCH)
        let again = try terminal.wait(for: "SESSION", after: shown)
        terminal.type("q")
        #expect(process.wait() == 0, "\(process.text)")
        #expect(terminal.readAll().hasSuffix("\u{1b}[?25h\u{1b}[?1049l"))
        #expect(again > shown)
    }

    @Test func watchingEndsBySignal() throws {
        let terminal = try PlayedTerminal(columns: 80)
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["watch"], environment: ["IOMMUD_SOCKET": daemon.socket, "TERM": "xterm"],
            streams: (terminal.program, terminal.program))
        try terminal.wait(for: "SESSION")
        process.signal(SIGTERM)
        #expect(process.wait() == 0)
        #expect(terminal.readAll().hasSuffix("\u{1b}[?25h\u{1b}[?1049l"))
    }

    @Test func watchingEndsWithTheDaemon() throws {
        let terminal = try PlayedTerminal(columns: 80)
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["watch", "--interval", "0.1"],
            environment: ["IOMMUD_SOCKET": daemon.socket, "TERM": "xterm"],
            streams: (terminal.program, terminal.program))
        try terminal.wait(for: "SESSION")
        daemon.process.kill()
        #expect(process.wait() == 2)
        #expect(process.text.contains("the daemon may have ended"), "\(process.text)")
        #expect(terminal.readAll().hasSuffix("\u{1b}[?25h\u{1b}[?1049l"))
    }

    @Test func longWorkShowsHowFarItHasCome() throws {
        let terminal = try PlayedTerminal(columns: 80)
        let recording = BuiltProgram.packageRoot + "/Tests/Fixtures/oracles/oracle-s1-4k.json"
        let command = "exec \(BuiltProgram.iommuctl) --table vsmmu replay \(recording) 2>&1"
        let process = try ChildProcess(
            "/bin/sh", ["-c", command], environment: ["IOMMUD_SOCKET": daemon.socket, "TERM": "xterm"],
            streams: (terminal.program, terminal.program))
        try terminal.wait(for: " of 373  ")
        try terminal.wait(for: "373 transactions, 15 differences")
        #expect(process.wait() == 1)
        // The line has gone before the summary.
        let last = terminal.readAll().split(separator: "\r\n").last ?? ""
        #expect(last.hasSuffix("\u{1b}[K373 transactions, 15 differences"), "\(last)")
    }

    @Test func watchingIsAlsoForPrograms() throws {
        let figures = try CommandLineRun(daemon, ["watch", "--count", "2", "--interval", "0.1"])
        #expect(figures.status == 0)
        let rounds = figures.lines.dropLast().map { try? JSONValue(parsing: String($0)) }
        #expect(rounds.count == 2 && rounds.allSatisfy { $0?["worst_turn_microseconds"] != nil }, "\(figures.text)")
    }
}
