import Foundation
import IOMMU
import Testing

@testable import IOMMUService

/// The repository's own files, found from where this source file is.
private enum ShippedFile {
    static func path(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../Config/\(name)")
            .standardizedFileURL.path
    }
}

@Suite struct ConfigurationFileTests {
    @Test func emptyFileIsTheDefault() throws {
        #expect(try ConfigurationFile.parse("", file: "x") == Configuration())
    }

    @Test func shippedFileIsTheDefault() throws {
        #expect(try ConfigurationFile.load(ShippedFile.path("iommud.toml")) == Configuration())
    }

    /// The comments of the shipped file are the documentation of the defaults: uncommented they change nothing.
    @Test func shippedFileDocumentsTheDefaults() throws {
        let text = try String(contentsOfFile: ShippedFile.path("iommud.toml"), encoding: .utf8)
        let assignment = /^#([a-z_]+ = .*)$/
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let uncommented = lines.map { line in line.wholeMatch(of: assignment).map { String($0.1) } ?? String(line) }
        #expect(try ConfigurationFile.parse(uncommented.joined(separator: "\n"), file: "x") == Configuration())

        let documented = Set(lines.compactMap { $0.wholeMatch(of: assignment)?.1.split(separator: " ").first })
        let limits = LimitsConfiguration.keys.map(\.name)
        for key in ["log_level", "drain_seconds", "type"] + limits {
            #expect(documented.contains(Substring(key)), "\(key) is not documented")
        }
    }

    /// So are its examples of [[smmu]] and [[device]].
    @Test func documentedMachineHasTheDefaults() throws {
        let text = try String(contentsOfFile: ShippedFile.path("iommud.toml"), encoding: .utf8)
        let start = try #require(text.range(of: "# [[smmu]]"))
        let lines = text[start.lowerBound...].split(separator: "\n").map { $0.dropFirst(2) }
        let toml = lines.filter { $0.hasPrefix("[[") || $0.contains(" = ") && !$0.contains("…") && $0.first != " " }
        let topology = try ConfigurationFile.parse(toml.joined(separator: "\n"), file: "x").topology
        #expect(topology.smmus == [SMMUDescription(name: "smmu0")])
        #expect(topology.devices == [DeviceDescription(name: "0000:01:00.0", smmu: "smmu0", streamIDs: [0x100])])
    }

    @Test func laboratoryIsTheBuiltInMachine() throws {
        let laboratory = try ConfigurationFile.load(ShippedFile.path("lab.toml"))
        #expect(laboratory.topology == .laboratory)
        #expect(TopologyRules.firstProblem(.laboratory) == nil)
        #expect(laboratory.daemon == DaemonConfiguration())
        #expect(laboratory.access == Configuration().access)
    }

    @Test func everyKeyIsRead() throws {
        let text = """
            [daemon]
            socket = "/s"
            state = "/d"
            log_level = "trace"
            metrics = "/m"
            drain_seconds = 1
            [limits]
            memory_bytes = "3 GiB"
            message_bytes = 8192
            share = 0.75
            [[share]]
            uid = 7
            share = 1
            [[share]]
            user = "root"
            share = 0.125
            [[allow]]
            uid = 7
            devices = ["uacce*"]
            [[allow]]
            user = "root"
            devices = ["*"]
            [[allow]]
            group = "root"
            devices = ["*"]
            [[smmu]]
            name = "s"
            stage2 = false
            granules = ["4K", "64K"]
            stream_table = "linear"
            va_bits = 52
            oas = 52
            sidsize = 8
            stall_model = 2
            term_model = 1
            fwb = false
            [[device]]
            name = "d"
            smmu = "s"
            stream_ids = [1, 2]
            coherent = false
            driver = "vfio-pci"
            reserved = [{start = "0xffffffff00000000", last = "0xffffffff00000fff", type = "msi"}]
            """
        let configuration = try ConfigurationFile.parse(text, file: "x")
        #expect(configuration.daemon.socket == "/s")
        #expect(configuration.daemon.state == "/d")
        #expect(configuration.daemon.logLevel == .trace)
        #expect(configuration.daemon.metrics == "/m")
        #expect(configuration.daemon.drainSeconds == 1)
        #expect(configuration.limits.memoryBytes == 3 << 30)
        #expect(configuration.limits.messageBytes == 8192)
        #expect(configuration.shares.fraction == 0.75 && configuration.shares.byUser == [7: 1, 0: 0.125])
        #expect(
            configuration.access.rules == [
                AccessPolicy.Rule(uids: [7], devices: ["uacce*"]),
                AccessPolicy.Rule(uids: [0], devices: ["*"]),
                AccessPolicy.Rule(gids: [0], devices: ["*"]),
            ])
        let smmu = try #require(configuration.topology.smmus.first)
        #expect(!smmu.stage2 && smmu.granule64K && !smmu.granule16K && !smmu.twoLevelStreamTable)
        #expect(smmu.virtualAddressBits == 52 && smmu.outputAddressBits == 52 && smmu.streamIDBits == 8)
        #expect(smmu.stallModel == 2 && smmu.stall && smmu.terminateModel == 1 && !smmu.forceWriteBack)
        let device = try #require(configuration.topology.devices.first)
        #expect(device.streamIDs == [1, 2] && !device.coherent && device.driver == "vfio-pci")
        #expect(device.reserved.first?.kind == .msi)
        #expect(device.reserved.first?.range.start == 0xffff_ffff_0000_0000)
    }

    @Test func limitsAreHandedOn() throws {
        let text = "[limits]\nobjects_per_session = 9\nvsmmus_per_session = 3\nmapped_bytes = 8192"
        let limits = try ConfigurationFile.parse(text, file: "x").limits
        #expect(limits.sessionLimits(ShareRules()).context.objects == 9)
        #expect(limits.sessionLimits(ShareRules()).context.vsmmus == 3)
        #expect(limits.sessionLimits(ShareRules()).perUser[.mappedBytes] == 8192)
    }

    @Test func missingFileSaysSo() {
        let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile.load("/nonexistent/iommud.toml") }
        #expect(error?.errno == ENOENT)
        #expect(error?.place == .file)
        #expect(error?.description.hasPrefix("/nonexistent/iommud.toml: cannot read it: No such file") == true)
    }

    @Test func binaryFileIsRefusedWithThePlace() throws {
        let path = NSTemporaryDirectory() + "binary-\(getpid()).toml"
        try Data(Array("[daemon]\na".utf8) + [0xff]).write(to: URL(filePath: path))
        defer { unlink(path) }
        let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile.load(path) }
        #expect(error?.place == .position(line: 2, column: 2))
    }

    @Test func endlessFileIsRefused() {
        let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile.load("/dev/zero") }
        #expect(error?.errno == EFBIG)
    }
}
