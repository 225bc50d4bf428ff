import TestSupport
import Testing

/// What could be written next, as shells ask for it.
struct CompletionTests {
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
    }

    private func candidates(_ line: String, session: String? = nil) throws -> [String] {
        let done = try CommandLineRun(
            daemon, ["complete", "--", line], environment: session.map { ["IOMMUCTL_SESSION": $0] } ?? [:])
        #expect(done.status == 0, "\(done.text)")
        return done.lines.dropLast().map { String($0.split(separator: "\t", omittingEmptySubsequences: false)[0]) }
    }

    @Test func commandsSubjectsVerbsAndParameters() throws {
        let first = try candidates("iommuctl ")
        #expect(Set(["topology", "translate", "ioas", "device", "vsmmu"]).isSubset(of: first))
        #expect(!first.contains("complete"))
        #expect(try candidates("iommuctl --socket \(daemon.socket) vsm") == ["vsmmu"])
        #expect(try candidates("iommuctl ioas map") == ["map", "map-many", "mappings"])
        #expect(try Set(["show", "replay", "create"]).isSubset(of: candidates("iommuctl vsmmu ")))
        #expect(try candidates("iommuctl ioas map --l") == ["--length"])
        #expect(try !candidates("iommuctl ioas map --ioas 1 --").contains("--ioas"))
        #expect(try candidates("iommuctl ioas map --access read,") == ["read,write"])
        #expect(try candidates("iommuctl call ioas.map_") == ["ioas.map_many"])
        #expect(try candidates("iommuctl call ioas.map acc") == ["access="])
        #expect(try candidates("iommuctl hwpt alloc --flags n") == ["nest_parent"])
        #expect(try candidates("iommuctl help ioas al") == ["alloc", "allow-iovas"])
    }

    @Test func whatThereIsAtTheDaemon() throws {
        let client = try daemon.connect()
        _ = try client.call("session.attach", #"{"name":"vm1"}"#)
        _ = try client.call("memory.create", #"{"size":4096,"name":"guest"}"#)
        #expect(try candidates("iommuctl device bind 0000:02") == ["0000:02:00.0", "0000:02:00.1"])
        #expect(try candidates("iommuctl translate uac") == ["uacce0"])
        #expect(try candidates("iommuctl exec --device 0001") == ["0001:01:00.0"])
        #expect(try candidates("iommuctl objects ") == ["vm1"])
        #expect(try candidates("iommuctl ioas map --session ") == ["vm1"])
        #expect(try candidates("iommuctl events --kind vsmmu_s").sorted() == ["vsmmu_sev", "vsmmu_stall"])
        #expect(try candidates("iommuctl events subscribe --kinds fault,mm") == ["fault,mm_exit"])
        #expect(try candidates("iommuctl ioas map --memory ", session: "vm1") == ["guest"])
        #expect(try candidates("iommuctl --session vm1 ioas map --memory ") == ["guest"])
        #expect(try candidates("iommuctl smmu registers --smmu ") == ["smmu0", "smmu1"])
    }

    /// Somebody waits at a prompt.
    @Test func withoutADaemonTheProgramsOwnCommandsAreKnown() throws {
        let done = try ChildProcess(
            BuiltProgram.iommuctl, ["complete", "--", "iommuctl t"], environment: ["IOMMUD_SOCKET": "/nonexistent"])
        #expect(done.wait() == 0)
        #expect(done.text.split(separator: "\n").map { $0.split(separator: "\t")[0] } == ["topology", "translate"])
    }
}
