import Foundation
import TestSupport
import Testing

/// Several commands on one connection.
struct ScriptTests {
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    private func run(_ script: String, _ options: String...) throws -> CommandLineRun {
        let file = daemon.directory + "/script"
        try script.write(toFile: file, atomically: false, encoding: .utf8)
        let input = open(file, O_RDONLY)
        let output = open(daemon.directory + "/output", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0o600)
        defer { [input, output].forEach { close($0) } }
        let done = try CommandLineRun(daemon, ["script"] + options, streams: (input, output))
        let text = try String(contentsOfFile: daemon.directory + "/output", encoding: .utf8)
        return CommandLineRun(status: done.status, text: text + done.text)
    }

    @Test func answersCanBeUsedFurtherDown() throws {
        let done = try run(
            """
            # What a driver does.
            memory create --size 8K --name 'the guest'
            ioas alloc   # another remark
            ioas map --ioas $ioas --memory "the guest" --length 8K --iova 0x1000

            device bind 0000:01:00.0
            device attach --device ${device} --pt $ioas
            dma write --device 0000:01:00.0 --iova 0x1000 --data text:hello
            memory read $memory 5
            """)
        #expect(done.status == 0, "\(done.text)")
        #expect(done.text.hasSuffix("{\"written\":5}\n{\"data\":\"aGVsbG8=\"}\n"), "\(done.text)")
    }

    @Test func itEndsWhereSomethingFails() throws {
        let done = try run("ioas alloc\nioas iova-ranges 9\nioas alloc\n")
        #expect(done.status == 1)
        #expect(done.text.hasPrefix("{\"ioas\":1}\niommuctl: line 2: ioas.iova_ranges: "), "\(done.text)")
        #expect(!done.text.contains("{\"ioas\":2}"))
        let goingOn = try run("ioas iova-ranges 9\nioas alloc\n", "--keep-going")
        #expect(goingOn.status == 1)
        #expect(goingOn.text.contains("{\"ioas\":1}\n"))
    }

    @Test(arguments: [
        ("ioas alloc 'x", "a quote does not end"), ("ioas map --ioas $iosa", "no answer has had a “iosa” yet"),
        ("script", "belongs on a command line of its own"), ("nonsense", "there is no command “nonsense”"),
    ])
    func mistakesAreTheirLines(line: String, text: String) throws {
        let done = try run("\n" + line)
        #expect(done.status == 2)
        #expect(done.text.contains("iommuctl: line 2: ") && done.text.contains(text), "\(done.text)")
    }

    /// Commands of the program itself run on the same connection.
    @Test func otherCommandsSeeTheSameSession() throws {
        let done = try run("ioas alloc\nobjects\ncall ioas.alloc\n")
        #expect(done.status == 0)
        #expect(done.text.contains("{\"objects\":[{\"kind\":\"ioas\",\"id\":1"), "\(done.text)")
        #expect(done.text.hasSuffix("{\"ioas\":2}\n"))
    }
}
