import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// Methods as commands, with what the daemon declares of them.
struct VerbTests {
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    private func run(_ arguments: String..., session: String? = "vm1") throws -> CommandLineRun {
        try CommandLineRun(daemon, arguments, environment: session.map { ["IOMMUCTL_SESSION": $0] } ?? [:])
    }

    /// A session with memory called “guest” that a device reaches from 0x10000 on.
    private func makeGuest() throws {
        let steps: [[String]] = [
            ["memory", "create", "--size", "64K", "--name", "guest"], ["ioas", "alloc"],
            ["ioas", "map", "--ioas", "1", "--memory", "guest", "--length=64KiB", "--iova", "0x1_0000"],
            ["device", "bind", "0000:01:00.0"], ["device", "attach", "--device", "0000:01:00.0", "--pt", "1"],
        ]
        for step in steps {
            let done = try CommandLineRun(daemon, step, environment: ["IOMMUCTL_SESSION": "vm1"])
            try #require(done.status == 0, "\(done.text)")
        }
    }

    @Test func unitsNamesAndHexadecimalNumbersAreUnderstood() throws {
        try makeGuest()
        let mapped = try run("call", "ioas.mappings", "ioas=0x1").json?["mappings"]?[0]
        #expect(mapped?["iova"] == .string("0x10000"))
        #expect(mapped?["length"] == .string("0x10000"))
        #expect(mapped?["memory"] == .integer(1))
        // The same words behind `call`.
        let more = try run("call", "ioas.map", "ioas=1", "memory=guest", "length=4K", "access=read,write")
        #expect(more.status == 0, "\(more.text)")
    }

    @Test func bytesAreFilesTextOrDigits() throws {
        try makeGuest()
        let file = daemon.directory + "/bytes"
        try Data([0, 1, 2, 0xff]).write(to: URL(fileURLWithPath: file))
        for (data, bytes) in [("@" + file, "AAEC/w=="), ("text:abc", "YWJj"), ("hex:00 ff", "AP8="), ("YWJj", "YWJj")] {
            let written = try run("memory", "write", "guest", "--data", data)
            #expect(written.status == 0, "\(written.text)")
            let length = String(Data(base64Encoded: bytes)?.count ?? 0)
            let read = try run("memory", "read", "guest", "--offset", "0", "--length", length)
            #expect(read.json?["data"] == .string(bytes), "\(data): \(read.text)")
        }
        #expect(try run("memory", "write", "guest", "--data", "***").status == 2)
    }

    @Test func bytesCanBeWrittenAsTheyAre() throws {
        try makeGuest()
        _ = try run("memory", "write", "guest", "--data", "hex:00ff0a")
        let output = clinux_memfd_create("raw", false)
        defer { close(output) }
        let read = try CommandLineRun(
            daemon, ["dma", "read", "--device", "0000:01:00.0", "--iova", "64K", "--length", "3", "--raw"],
            environment: ["IOMMUCTL_SESSION": "vm1"], streams: (0, output))
        #expect(read.status == 0, "\(read.text)")
        var bytes = [UInt8](repeating: 1, count: 8)
        #expect(pread(output, &bytes, 8, 0) == 3)
        #expect(bytes.prefix(3) == [0, 0xff, 0x0a])
        #expect(try run("ioas", "alloc", "--raw").status == 2)
    }

    @Test func listsHaveCommasOrComeAgainOrFromAFile() throws {
        try makeGuest()
        let twice = try run(
            "ioas", "map-many", "--ioas", "1", "--mappings", "memory=guest,length=4K,iova=0x100000,access=read+write",
            "--mappings", "memory=guest,offset=4K,length=4K,iova=0x200000")
        #expect(twice.json?["iovas"] == .array([.string("0x100000"), .string("0x200000")]), "\(twice.text)")
        let file = daemon.directory + "/mappings"
        let rows = (0..<4500).map { "memory=guest,length=4K,iova=\(0x1000_0000 + 4096 * $0)" }
        try ("# iova after iova\n" + rows.joined(separator: "\n") + "\n").write(
            toFile: file, atomically: false, encoding: .utf8)
        let many = try run("ioas", "map_many", "1", "--mappings", "@" + file)
        #expect(many.json?["iovas"]?.arrayValue?.count == 4500, "\(many.text.prefix(300))")
    }

    /// More than one request, and none of them stays if the last one is refused.
    @Test func aFileOfMappingsIsMappedWholeOrNotAtAll() throws {
        try makeGuest()
        let file = daemon.directory + "/mappings"
        let rows = (0..<2500).map { "memory=guest,length=4K,iova=\(0x1000_0000 + 4096 * ($0 % 2400))" }
        try rows.joined(separator: "\n").write(toFile: file, atomically: false, encoding: .utf8)
        let refused = try run("ioas", "map-many", "1", "--mappings", "@" + file)
        #expect(refused.status == 1)
        #expect(refused.text.contains("already_mapped"), "\(refused.text)")
        #expect(try run("ioas", "mappings", "1").json?["mappings"]?.arrayValue?.count == 1)
    }

    @Test(arguments: [
        (["ioas", "mp"], "did you mean “map”?"), (["iaos", "map"], "did you mean “ioas”?"),
        (["ioas", "map", "--memry", "1"], "did you mean --memory?"),
        (["ioas", "map", "--access", "raed"], "did you mean “read”?"), (["call", "ioas.mpa"], "“ioas.map”?"),
        (["ioas", "map", "--length", "4Q"], "“4Q” is no number"), (["staus"], "did you mean “status”?"),
        (["events", "--kind", "falut"], "did you mean “fault”?"), (["ioas", "map", "--ioas"], "needs a value"),
        (["ioas", "unmap", "1"], "needs --iova"), (["ioas", "alloc", "1"], "“1” is too much"),
        (["ioas", "iova-ranges", "--ioas", "1", "--ioas", "2"], "given twice"),
        (["device", "detach", "--device", "nic"], "device.bind takes one"),
    ])
    func mistakesAreExplained(words: [String], text: String) throws {
        let outcome = try CommandLineRun(daemon, words)
        #expect(outcome.status == 2, "\(outcome.text)")
        #expect(outcome.text.hasPrefix("iommuctl: "))
        #expect(outcome.text.contains(text), "\(outcome.text)")
    }

    /// Every method has help that names every parameter, and no parameter is called as an option of the program.
    @Test func everyMethodHasHelp() throws {
        let document = try daemon.connect().call("rpc.discover")
        let own = ["socket", "timeout", "json", "table", "verbose", "session", "fd", "raw", "help", "version"]
        for method in document["methods"]?.arrayValue ?? [] {
            let name = try #require(method["name"]?.stringValue)
            // A command of the program's own: it has to work where nothing else does.
            if name == "state.discard" { continue }
            let words = name.split(separator: ".").map { $0.split(separator: "_").joined(separator: "-") }
            let help = try CommandLineRun(daemon, words + ["--help"])
            #expect(help.status == 0 && help.text.hasPrefix(name + ": "), "\(help.text)")
            for parameter in method["params"]?.arrayValue ?? [] {
                let key = try #require(parameter["name"]?.stringValue)
                #expect(help.text.contains("--" + key.split(separator: "_").joined(separator: "-")), "\(name) \(key)")
                #expect(!own.contains(key), "\(name) has \(key)")
            }
        }
    }

    @Test func sessionsComeFromTheEnvironment() throws {
        #expect(try run("ioas", "alloc").json?["ioas"] == .integer(1))
        #expect(try run("ioas", "alloc").json?["ioas"] == .integer(2))
        #expect(try run("ioas", "alloc", "--session", "vm2").json?["ioas"] == .integer(1))
        #expect(try run("ioas", "alloc", session: nil).json?["ioas"] == .integer(1))
        #expect(try run("--session", "vm2", "ioas", "alloc").json?["ioas"] == .integer(2))
        #expect(try run("--session=vm2", "objects").json?["objects"]?.arrayValue?.count == 2)
        // Whoever asks what there is makes nothing.
        #expect(try run("session", "list", session: "vm3").json?["sessions"]?.arrayValue?.count == 3)
        #expect(try run("objects", session: "vm1").json?["objects"]?.arrayValue?.count == 2)
    }

    @Test func trafficIsShown() throws {
        let outcome = try run("-v", "ioas", "alloc", session: nil)
        #expect(outcome.text.contains("→ {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ioas.alloc\",\"params\":{}}\n"))
        #expect(outcome.text.contains("← {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"ioas\":1}}\n"))
        // Whole documents are shown in part.
        #expect(outcome.lines.allSatisfy { $0.count < 5000 })
    }

    /// Manual and clients are made of what the program prints without serving.
    @Test func theDocumentIsTheSameWithoutADaemon() throws {
        let printed = try ChildProcess(BuiltProgram.iommud, ["--openrpc"])
        #expect(printed.wait() == 0)
        #expect(try daemon.connect().call("rpc.discover").text + "\n" == printed.text)
    }

    @Test func versionsAreThoseOfTheDaemon() throws {
        let daemon = try ChildProcess(BuiltProgram.iommud, ["--version"])
        #expect(daemon.wait() == 0)
        #expect(try run("--version").text == "iommuctl" + daemon.text.dropFirst("iommud".count))
    }
}
