import Foundation
import JSONRPC
import TestSupport
import Testing

/// `iommuctl run`: a program that knows nothing of iommud drives its devices.
struct RunTests {
    private let daemon: RunningDaemon

    init() throws { daemon = try RunningDaemon() }

    /// A statically linked driver, made once.
    private static let driver: Result<String, any Error> = Result {
        let path = "/tmp/iommud-test-driver-\(getpid())"
        let root = BuiltProgram.packageRoot
        let compiler = try ChildProcess(
            "/usr/bin/gcc",
            [
                "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-I\(root)/Sources/CLinux/include", "-o",
                path, "\(root)/Tests/Fixtures/run/driver.c",
            ])
        guard compiler.wait() == 0 else { throw Unexpected(compiler.text) }
        return path
    }

    /// What a run says, and how it ends.
    private func run(_ command: [String], options: [String] = []) throws -> (status: Int32, text: String) {
        let child = try ChildProcess(
            BuiltProgram.iommuctl,
            ["--socket", daemon.socket, "run", "--device", "0000:01:00.0"] + options + ["--"] + command)
        let status = child.wait()
        return (status, child.text)
    }

    private func drive(_ scenario: String, options: [String] = []) throws -> (status: Int32, text: String) {
        try run([try Self.driver.get(), scenario], options: options)
    }

    /// Nothing is left in the daemon afterwards.
    private func expectNothingLeft() throws {
        let client = try daemon.connect()
        let sessions = try client.call("session.list")["sessions"]?.arrayValue ?? []
        #expect(sessions.allSatisfy { $0["name"]?.stringValue == nil })
        let devices = try client.call("topology.list")["devices"]?.arrayValue ?? []
        #expect(devices.allSatisfy { $0["bound_by"] == nil })
    }

    @Test(arguments: ["dma", "rules", "files", "descriptors", "faults", "tables"]) func aDriverWorks(scenario: String)
        throws
    {
        let result = try drive(scenario)
        #expect(result.status == 0, "\(result.text)")
        try expectNothingLeft()
    }

    @Test func theEndOfTheProgramIsPassedOn() throws {
        #expect(try drive("exit").status == 42)
        #expect(try drive("kill").status == 128 + SIGTERM)
        let missing = try run(["/nonexistent/program"])
        #expect(missing.status == 127)
        #expect(missing.text.contains("/nonexistent/program"))
    }

    @Test func callsAreShown() throws {
        let log = daemon.directory + "/trace"
        let result = try drive("rules", options: ["--trace", "--log", log])
        #expect(result.status == 0 && result.text == "rules done\n", "\(result.text)")
        let shown = try String(contentsOfFile: log, encoding: .utf8)
        #expect(shown.contains(#"open("/dev/iommu") = "#))
        #expect(shown.contains("IOMMU_IOAS_ALLOC") && shown.contains("= -1 EOPNOTSUPP"))
    }

    /// What has nothing to do with it goes on as before.
    @Test func otherProgramsNoticeNothing() throws {
        let result = try run([
            "/bin/sh", "-c", "echo $(wc -c < /etc/passwd) && ls /dev/null && exec python3 -c 'print(1)'",
        ])
        #expect(result.status == 0 && result.text.hasSuffix("/dev/null\n1\n"), "\(result.text)")
    }

    @Test func aDeviceThatThereIsNotIsNamed() throws {
        let child = try ChildProcess(
            BuiltProgram.iommuctl, ["--socket", daemon.socket, "run", "--device", "none", "--", "/bin/true"])
        #expect(child.wait() == 2)
        #expect(child.text.contains("“none”"))
    }
}
