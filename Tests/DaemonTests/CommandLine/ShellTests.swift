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

    private func start(after place: Int = 0) throws -> ChildProcess {
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["shell", "--session", "vm1"],
            environment: [
                "IOMMUD_SOCKET": daemon.socket, "TERM": "xterm", "NO_COLOR": "1", "XDG_STATE_HOME": daemon.directory,
            ],
            streams: (terminal.program, terminal.program))
        try terminal.wait(for: "vm1> ", after: place)
        return process
    }

    /// Types a line, and waits for what is answered and for the prompt behind it: keys that come before are not the
    /// editor's. - Returns: the place behind it.
    private func type(_ keys: String, andWaitFor answer: String, after place: Int) throws -> Int {
        terminal.type(keys)
        let end = try terminal.wait(for: answer, after: place)
        // A prompt on a new line: one that a redrawn line begins with does not count.
        return try terminal.wait(for: "\r\n\rvm1> ", after: end)
    }

    @Test func linesAreEditedRememberedAndCompleted() throws {
        let shell = try start()
        // “allow” becomes “alloc”; what is missing is completed.
        var place = try type("ioas allow\u{7f}c\r", andWaitFor: "ioas  1", after: 0)
        place = try type("mem\tcre\t--si\t8K --name guest\r", andWaitFor: "memory  1", after: place)
        place = try type(
            "ioas map --ioas $ioas --memory g\t--length 8K --iova 0x4000\r", andWaitFor: "iova  0x4000",
            after: place)
        // Two lines up is where memory was made; its name is another one now.
        place = try type(
            "\u{1b}[A\u{1b}[A\u{01}\u{1b}[C\u{1b}[D\u{05}2\r", andWaitFor: "memory  2", after: place)
        // What is refused or not there does not end it, nor does a line that is given up.
        place = try type("ioas iova-ranges 9\r", andWaitFor: "ranges 9", after: place)
        place = try type("nonsense\r", andWaitFor: "nonsense", after: place)
        place = try type("half a li\u{03}", andWaitFor: "^C", after: place)
        place = try type("device bind 0000:01\t\r", andWaitFor: "group   1", after: place)
        terminal.type("exit\r")
        #expect(shell.wait() == 0, "\(shell.text)")
        #expect(shell.text.contains("reason: unknown_ioas") && shell.text.contains("no command “nonsense”"))
        let objects = try CommandLineRun(daemon, ["objects", "vm1"]).json?["objects"]?.arrayValue ?? []
        #expect(objects.contains { $0["name"] == .string("guest2") }, "\(objects)")
    }

    @Test func historyIsKeptForTheNextTime() throws {
        let shell = try start()
        var place = try type("ioas alloc\r", andWaitFor: "ioas  1", after: 0)
        terminal.type("\u{04}")
        #expect(shell.wait() == 0)
        let kept = daemon.directory + "/iommuctl/history"
        #expect(try String(contentsOfFile: kept, encoding: .utf8) == "ioas alloc\n")
        let again = try start(after: place)
        place = try type("\u{1b}[A\r", andWaitFor: "ioas  2", after: place)
        terminal.type("\u{04}")
        #expect(again.wait() == 0)
    }

    @Test func manyCandidatesAreShown() throws {
        let shell = try start()
        _ = try type("ioas \t", andWaitFor: "map-many     Map many ranges", after: 0)
        terminal.type("\u{15}quit\r")
        #expect(shell.wait() == 0)
    }
}
