import Foundation
import JSONRPC
import TestSupport
import Testing

/// Programs that are started with what the daemon hands out.
struct ExecTests {
    private let daemon: RunningDaemon

    init() throws { daemon = try RunningDaemon(launcher: [BuiltProgram.directory + "/iommud-fake-kernel"]) }

    /// A VMM that says what it was given, waits for a line, and ends with 7.
    private static let vmm = """
        import json, os, sys
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
        files = [int(name) for name in os.listdir("/proc/self/fd")]
        print(json.dumps({
            "pid": os.getpid(), "arguments": sys.argv[1:], "uid": os.getuid(),
            "files": sorted(file for file in files if os.path.exists(f"/proc/self/fd/{file}")),
            "kinds": [os.readlink(f"/proc/self/fd/{file}").split(":")[0] for file in (3, 4)],
            "blocked": int(status["SigBlk"], 16),
            "environment": os.environ.get("IOMMUD_SOCKET")}), flush=True)
        sys.stdin.readline()
        sys.exit(7)
        """

    private func exec(_ arguments: String..., input: Pipe? = nil, output: Pipe? = nil) throws -> ChildProcess {
        try ChildProcess(
            BuiltProgram.iommuctl, ["exec"] + arguments, environment: ["IOMMUD_SOCKET": daemon.socket],
            streams: input.flatMap { input in
                output.map { (input.fileHandleForReading.fileDescriptor, $0.fileHandleForWriting.fileDescriptor) }
            })
    }

    @Test func theProgramInheritsWhatItIsToHaveAndNothingElse() throws {
        let (input, output) = (Pipe(), Pipe())
        let process = try exec(
            "--device", "vfio1", "--", "python3", "-c", Self.vmm, "iommufd={iommufd}", "device={vfio1}",
            input: input, output: output)
        let told = try JSONValue(parsing: [UInt8](output.fileHandleForReading.availableData))
        #expect(told["arguments"] == .array([.string("iommufd=3"), .string("device=4")]))
        #expect(told["files"] == .array((0...4).map { .integer($0) }))
        #expect(told["kinds"] == .array([.string("socket"), .string("socket")]))
        #expect(told["blocked"]?.intValue == 0)
        #expect(told["environment"]?.stringValue == daemon.socket)
        let pid = try #require(told["pid"]?.intValue)
        let client = try daemon.connect()
        let sessions = try client.call("session.list")["sessions"]?.arrayValue ?? []
        let session = try #require(sessions.first { $0["name"] != nil })
        #expect(session["name"]?.stringValue == "exec-\(pid)-1")
        #expect(session["delegated"]?["pid"]?.intValue == pid)
        #expect(session["connections"]?.intValue == 0)
        input.fileHandleForWriting.write(Data("\n".utf8))
        #expect(process.wait() == 7)
        while try client.call("session.list")["sessions"]?.arrayValue?.contains(where: { $0["name"] != nil }) == true {}
        while try client.call("topology.list")["devices"]?.arrayValue?.contains(where: { $0["bound_by"] != nil })
            == true
        {}
    }

    @Test func signalsAreHandledAsByDefault() throws {
        let process = try exec("--", "grep", "SigIgn", "/proc/self/status")
        #expect(process.wait() == 0)
        let mask = process.text.split(whereSeparator: \.isWhitespace).last.flatMap { UInt64($0, radix: 16) }
        // glibc's posix_spawn ignores its own two, 32 and 33, for whom it starts.
        #expect(mask.map { $0 & ~(3 << 31) } == 0)
    }

    @Test func allThatIsWrongIsSaidAtOnceAndNothingIsRun() throws {
        let holder = try daemon.connect()
        _ = try holder.call("device.bind", JSONValue(parsing: #"{"name":"vfio0"}"#))
        let process = try exec("--device", "vfio0", "--device", "vfio9", "--", "touch", daemon.directory + "/ran")
        #expect(process.wait() == 1)
        #expect(process.text.contains("vfio0") && process.text.contains("vfio9"), "\(process.text)")
        #expect(!FileManager.default.fileExists(atPath: daemon.directory + "/ran"))
        let left = try holder.call("session.list")["sessions"]?.arrayValue?.filter { $0["name"] != nil }
        #expect(left?.isEmpty == true)
    }

    @Test func aProgramThatIsNotThereLeavesNoSession() throws {
        let process = try exec("--device", "vfio0", "--", daemon.directory + "/nothing")
        #expect(process.wait() == 127)
        #expect(process.text.contains("cannot be started"))
        let client = try daemon.connect()
        while try client.call("topology.list")["devices"]?.arrayValue?.contains(where: { $0["bound_by"] != nil })
            == true
        {}
        _ = try client.call("device.bind", JSONValue(parsing: #"{"name":"vfio0"}"#))
    }

    @Test func aDryRunAsksNobody() throws {
        let process = try exec("--print", "--qemu", "--device", "vfio7", "--", "qemu-system-x86_64", "-name", "a b")
        #expect(process.wait() == 0)
        #expect(
            process.text == "qemu-system-x86_64 -name 'a b' -object iommufd,id=iommufd0,fd=3 "
                + "-device vfio-pci,id=hostdev0,fd=4,iommufd=iommufd0\n")
        let twice = try exec("--qemu", "--libvirt", "--", "true")
        #expect(twice.wait() == 2)
        let xml = try exec("--libvirt", "--device", "0000:01:00.0")
        #expect(xml.wait() == 0 && xml.text.contains("fdgroup='iommufd'"))
    }
}
