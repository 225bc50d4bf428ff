import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// `iommuctl` as its users see it: what it prints and how it exits.
struct IommuctlTests {
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    private func run(
        _ arguments: String..., descriptors: [Int32] = [], environment: [String: String] = [:]
    ) throws -> CommandLineRun {
        try CommandLineRun(daemon, arguments, descriptors: descriptors, environment: environment)
    }

    @Test func resultsAreJSONInAPipeAndTablesOnRequest() throws {
        let json = try run("status")
        #expect(json.status == 0)
        #expect(json.json?["info"]?["name"] == .string("iommud"))
        let table = try run("status", "--table")
        #expect(table.status == 0)
        #expect(table.text.hasPrefix("iommud "))
        #expect(table.text.contains("answers on \(daemon.socket)"))
    }

    @Test func optionsMayStandBeforeTheCommand() throws {
        let outcome = try run("--socket", daemon.socket, "--json", "topology", environment: ["IOMMUD_SOCKET": "/none"])
        #expect(outcome.status == 0)
        #expect(outcome.json?["devices"]?[0]?["name"] == .string("0000:01:00.0"))
        #expect(try run("--socket=" + daemon.socket, "--table", "topology").text.contains("HELD BY"))
    }

    @Test(arguments: [
        ["{\"size\": 8192, \"name\": \"a\"}"], ["size=8192", "name=a"], ["size=\"0x2000\"", "name=\"a\""],
    ])
    func parametersAreAnObjectOrWords(parameters: [String]) throws {
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["--socket", daemon.socket, "call", "memory.create"] + parameters)
        #expect(process.wait() == 0)
        #expect(process.text == "{\"memory\":1}\n")
    }

    @Test func descriptorsAreSentAlong() throws {
        let memory = clinux_memfd_create("mine", false)
        defer { close(memory) }
        try #require(ftruncate(memory, 8192) == 0)
        let outcome = try run("call", "memory.import", "--fd", "3", descriptors: [memory])
        #expect(outcome.status == 0)
        #expect(outcome.json?["memory"] == .integer(1))
    }

    @Test func refusalsHaveReasonHintAndStatusOne() throws {
        let outcome = try run("call", "ioas.iova_ranges", "ioas=9")
        #expect(outcome.status == 1)
        let lines = outcome.text.split(separator: "\n")
        #expect(lines.first?.hasPrefix("iommuctl: ioas.iova_ranges: ") == true)
        #expect(lines.contains { $0.hasPrefix("reason: ") && $0.contains("(ENOENT)") }, "\(outcome.text)")
        #expect(lines.contains { $0.hasPrefix("hint: ") })
        let json = try run("--json", "call", "ioas.iova_ranges", "ioas=9")
        #expect(json.status == 1)
        #expect(json.json?["errno"] == .string("ENOENT"))
        #expect(json.json?["code"] == .integer(-2))
    }

    @Test(arguments: [
        [], ["no-such-command"], ["call"], ["call", "ioas.alloc", "word"], ["call", "ioas.alloc", "{"],
        ["translate", "0000:01:00.0"], ["methods", "no.such"],
    ])
    func wrongUsageIsStatusTwo(arguments: [String]) throws {
        let process = try ChildProcess(
            BuiltProgram.iommuctl, arguments, environment: ["IOMMUD_SOCKET": daemon.socket])
        let status = process.wait()
        // Without a command it explains itself, which is no mistake.
        #expect(status == (arguments.isEmpty ? 0 : 2), "\(process.text)")
        #expect(!process.text.isEmpty)
    }

    @Test func noDaemonIsStatusTwoWithAHint() throws {
        let outcome = try run("--socket", "/nonexistent/iommud.sock", "status")
        #expect(outcome.status == 2)
        #expect(outcome.text.contains("/nonexistent/iommud.sock: No such file or directory"))
        #expect(outcome.text.contains("\nhint: "))
    }

    /// A socket that is listened on, and what it says to whoever comes.
    private func serve(_ path: String, saying answer: String) throws -> (listener: Int32, thread: Thread) {
        let listener = clinux_unix_socket(false)
        try #require(clinux_unix_bind(listener, path) == 0)
        try #require(listen(listener, 16) == 0)
        let thread = Thread {
            let client = accept(listener, nil, nil)
            _ = answer.withCString { write(client, $0, strlen($0)) }
            // The client ends the connection, or this ends with it.
            var byte: UInt8 = 0
            while read(client, &byte, 1) > 0 {}
            close(client)
        }
        thread.start()
        return (listener, thread)
    }

    @Test(arguments: [
        ("SSH-2.0-OpenSSH_9.2\n", "is not iommud: a byte that cannot stand here, at byte 0"),
        (#"{"jsonrpc":"2.0","id":9,"result":{}}"# + "\n", "is not iommud: an answer to no request: {"),
        (#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"# + "\n", "is not iommud: no"),
    ])
    func whatIsNotIommudIsCalledSo(answer: String, problem: String) throws {
        let path = daemon.directory + "/other.sock"
        let (listener, _) = try serve(path, saying: answer)
        defer { close(listener) }
        let outcome = try run("--socket", path, "status")
        #expect(outcome.status == 2)
        #expect(outcome.text.contains("what answers on \(path) \(problem)"), "\(outcome.text)")
    }

    @Test func aSocketThatDoesNotAnswerIsGivenUp() throws {
        let path = daemon.directory + "/silent.sock"
        let (listener, _) = try serve(path, saying: "")
        defer { close(listener) }
        let outcome = try run("--socket", path, "--timeout", "0.2", "status")
        #expect(outcome.status == 2)
        #expect(outcome.text.contains("daemon.info: \(path) does not answer within 0.2 s\nhint: it may hang"))
        #expect(try run("--timeout=-1", "status").text.contains("is no time to wait"))
    }

    /// Longer than it takes until the daemon is asked whether it is there.
    @Test func callsThatWaitAreWaitedFor() throws {
        #expect(try run("call", "--session", "vm1", "fault.alloc").status == 0)
        let outcome = try run("call", "--session", "vm1", "fault.read", "fault=1", "timeout_ms=5500")
        #expect(outcome.status == 0, "\(outcome.text)")
        #expect(outcome.json?["faults"]?.arrayValue?.isEmpty == true)
        let given = try run("--timeout", "0.2", "call", "--session", "vm1", "fault.read", "fault=1", "timeout_ms=60000")
        #expect(given.text.contains("does not answer within 0.2 s"), "\(given.text)")
    }

    @Test func outputThatCannotBeWrittenIsAMistake() throws {
        let full = open("/dev/full", O_WRONLY)
        let null = open("/dev/null", O_RDONLY)
        defer { [full, null].forEach { close($0) } }
        let process = try ChildProcess(
            BuiltProgram.iommuctl, ["--socket", daemon.socket, "status"], streams: (null, full))
        #expect(process.wait() == 2)
        #expect(process.text == "iommuctl: cannot write the output: No space left on device\n")
    }

    @Test func whatIsWrongWithTheInputIsSaidInWords() throws {
        #expect(
            try run("call", "ioas.alloc", "{").text == "iommuctl: the parameters are not JSON: "
                + "the text ends inside a value, at byte 1\n")
    }

    @Test func helpIsStatusZero() throws {
        let outcome = try run("--help")
        #expect(outcome.status == 0)
        #expect(outcome.text.contains("EXIT STATUS:\n"))
    }

    @Test func methodsAreDescribedByTheDaemon() throws {
        let all = try run("--table", "methods")
        #expect(all.text.contains("\nioas.map "))
        let one = try run("--table", "methods", "ioas.map")
        #expect(one.text.hasPrefix("ioas.map: "))
        #expect(one.text.contains("\n  --iova "))
        #expect(one.text.contains("EEXIST"))
        // Text is what people read, in a pipe, too.
        #expect(try run("methods", "ioas.map").text == one.text)
        #expect(try run("--json", "methods", "ioas.map").json?["name"] == .string("ioas.map"))
    }

    @Test func namedSessionsAreEntered() throws {
        #expect(try run("call", "--session", "vm1", "ioas.alloc").status == 0)
        let objects = try run("--table", "objects", "vm1")
        #expect(objects.status == 0)
        #expect(objects.text.contains("\nioas"))
        #expect(try run("--table", "sessions").text.contains("vm1"))
        let missing = try run("objects", "vm2")
        #expect(missing.status == 1)
        #expect(missing.text.contains("(ENOENT)"))
    }

    @Test func eventsAreFollowed() throws {
        let follower = try ChildProcess(
            BuiltProgram.iommuctl, ["--socket", daemon.socket, "events", "--all", "--kind", "session", "--count", "1"])
        let client = try daemon.connect()
        // The follower has subscribed once the daemon says so.
        while try client.call("daemon.stats")["gauges"]?["subscribers"] != .integer(1) {}
        #expect(try run("call", "session.attach", "name=vm1").status == 0)
        #expect(try run("call", "session.close", "name=vm1").status == 0)
        #expect(follower.wait() == 0)
        #expect(follower.text.contains("\"kind\":\"session\""))
    }

    @Test func demonstrationSucceeds() throws {
        let told = try run("--table", "demo")
        #expect(told.status == 0, "\(told.text)")
        #expect(told.text.contains("57 72 69 74 74 65 6e 20 62 79 20 61 20 64 65 76"))
        #expect(told.text.contains("F_TRANSLATION"))
        let json = try run("--json", "demo", "--device", "0000:05:00.0").json
        #expect(json?["device"] == .string("0000:05:00.0"))
        #expect(json?["message"] == .string("Written by a device, through the SMMU."))
        #expect((json?["translation"]?["steps"]?.arrayValue?.count ?? 0) >= 4)
        #expect(json?["fault"]?["type"] == .string("F_TRANSLATION"))
    }

    @Test func translationsAreTraced() throws {
        #expect(try run("call", "--session", "vm1", "memory.create", "size=65536").status == 0)
        #expect(try run("call", "--session", "vm1", "ioas.alloc").status == 0)
        let mapped = try run(
            "call", "--session", "vm1", "ioas.map", "ioas=1", "memory=1", "length=65536", "iova=\"0x40000000\"")
        #expect(mapped.status == 0, "\(mapped.text)")
        #expect(try run("call", "--session", "vm1", "device.bind", "name=0000:01:00.0").status == 0)
        #expect(try run("call", "--session", "vm1", "device.attach", "device=2", "pt=1").status == 0)
        let outcome = try run("--table", "translate", "--session", "vm1", "0000:01:00.0", "0x40000123")
        #expect(outcome.status == 0)
        #expect(
            outcome.text.contains("reads 0x40000123 as StreamID 0x100") && outcome.text.contains("└─ → 0x"),
            "\(outcome.text)")
        let fault = try run("--table", "translate", "--session", "vm1", "0000:01:00.0", "0x50000000")
        #expect(fault.text.contains("invalid  ✗ F_TRANSLATION"), "\(fault.text)")
    }

    @Test func aBareSMMUCanBeLookedInto() throws {
        let client = try daemon.connect()
        try client.call("session.attach", #"{"name":"vm1"}"#)
        let smmu = try BareSMMUProgram(client)
        try smmu.bringUpStalling()
        _ = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1234"}"#)
        let json = try run("vsmmu", "show", "1", "--session", "vm1")
        #expect(json.status == 0 && json.json?["registers"]?["CR0"]?.stringValue == "0x9", "\(json.text)")
        #expect(json.json?["stalls"]?[0]?["iova"]?.stringValue == "0x1234")
        let table = try run("--table", "vsmmu", "show", "1", "--session", "vm1")
        #expect(table.text.hasPrefix("REGISTERS\nIDR0"), "\(table.text)")
        #expect(table.text.contains("\nSTALLED\n") && !table.text.contains("\nEVENTS\n"))
        #expect(try run("vsmmu", "show", "2", "--session", "vm1").status != 0)
    }

    /// As many transactions agree as when the recording is replayed on the model in process.
    @Test func recordingsAreReplayedPackedOrNot() throws {
        let recording = BuiltProgram.packageRoot + "/Tests/Fixtures/oracles/oracle-s1-4k.json"
        let told = try run("--table", "vsmmu", "replay", recording)
        #expect(told.status == 1)
        #expect(told.text.hasSuffix("\n373 transactions, 15 differences\n"), "\(told.text.suffix(300))")
        #expect(told.text.contains("  got       C_BAD_STREAMID [0x10000000002 0x0 0x0 0x0]\n"))

        let packed = daemon.directory + "/recording.json"
        try FileManager.default.copyItem(atPath: recording, toPath: packed)
        #expect(try ChildProcess("/bin/gzip", [packed]).wait() == 0)
        let again = try run("--table", "vsmmu", "replay", packed + ".gz")
        #expect(again.text == told.text)
    }

    @Test(arguments: ["{}", "[", "{\"tx\": []}"])
    func otherFilesAreNoRecordings(text: String) throws {
        let file = daemon.directory + "/recording.json"
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        let outcome = try run("vsmmu", "replay", file)
        #expect(outcome.status == 2)
        #expect(outcome.text.hasPrefix("iommuctl: \(file) "))
    }
}
