import Foundation
import TestSupport
import Testing

/// The shell, at a terminal.
struct ShellTests {
    private let daemon: RunningDaemon
    private let terminal: PlayedTerminal

    init() throws {
        daemon = try RunningDaemon()
        terminal = try PlayedTerminal(columns: 80)
    }

    private func start() throws -> ChildProcess {
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["shell", "--session", "vm1"],
            environment: [
                "IOMMUD_SOCKET": daemon.socket, "TERM": "xterm", "NO_COLOR": "1", "XDG_STATE_HOME": daemon.directory,
            ],
            streams: (terminal.program.number, terminal.program.number))
        try terminal.wait(for: "vm1> ")
        return process
    }

    @Test func linesAreEditedRememberedAndCompleted() throws {
        let shell = try start()
        // “allow” becomes “alloc”; what is missing is completed.
        terminal.type("ioas allow\u{7f}c\r")
        var place = try terminal.wait(for: "ioas  1\r\n")
        terminal.type("mem\tcre\t--si\t8K --name guest\r")
        place = try terminal.wait(for: "memory  1\r\n", after: place)
        terminal.type("ioas map --ioas $ioas --memory g\t--length 8K --iova 0x4000\r")
        place = try terminal.wait(for: "iova  0x4000\r\n", after: place)
        // Two lines up is where memory was made; its size is another one now.
        terminal.type("\u{1b}[A\u{1b}[A\u{01}\u{1b}[C\u{1b}[D\u{05}2\r")
        place = try terminal.wait(for: "memory  2\r\n", after: place)
        // What is refused or not there does not end it, nor does a line that is given up.
        terminal.type("ioas iova-ranges 9\rnonsense\rhalf a li\u{03}")
        place = try terminal.wait(for: "^C\r\n", after: place)
        terminal.type("device bind 0000:01\t\r")
        try terminal.wait(for: "group   1\r\n", after: place)
        terminal.type("exit\r")
        #expect(shell.wait() == 0, "\(shell.text)")
        #expect(shell.text.contains("reason: unknown_ioas") && shell.text.contains("no command “nonsense”"))
        let objects = try CommandLineRun(daemon, ["objects", "vm1"]).json?["objects"]?.arrayValue ?? []
        #expect(objects.contains { $0["name"] == .string("guest2") }, "\(objects)")
    }

    @Test func historyIsKeptForTheNextTime() throws {
        let shell = try start()
        terminal.type("ioas alloc\r\u{04}")
        #expect(shell.wait() == 0)
        let kept = daemon.directory + "/iommuctl/history"
        #expect(try String(contentsOfFile: kept, encoding: .utf8) == "ioas alloc\n")
        let again = try start()
        let place = try terminal.wait(for: "ioas  1\r\n")
        terminal.type("\u{1b}[A\r")
        try terminal.wait(for: "ioas  2\r\n", after: place)
        terminal.type("\u{04}")
        #expect(again.wait() == 0)
    }

    @Test func manyCandidatesAreShown() throws {
        let shell = try start()
        terminal.type("ioas \t")
        try terminal.wait(for: "map-many     Map many ranges")
        terminal.type("\u{15}quit\r")
        #expect(shell.wait() == 0)
    }
}
