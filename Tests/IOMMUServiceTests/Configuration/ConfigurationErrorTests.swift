import Testing

@testable import IOMMUService

@Suite struct ConfigurationErrorTests {
    private func error(_ text: String) -> String? {
        let error = #expect(throws: ConfigurationError.self) { try ConfigurationFile.parse(text, file: "F") }
        return error?.description
    }

    @Test(arguments: [
        ("[daemon\n", "F:1:8: "), ("[daemon]\nsocket = \n", "F:2:10: "),
        ("a = 1\na = 2\n", "F:2:"), ("[limits]\nbatch = 99999999999999999999", "F:2:"),
    ])
    func syntaxHasLineAndColumn(text: String, prefix: String) {
        #expect(error(text)?.hasPrefix(prefix) == true, "\(error(text) ?? "")")
    }

    @Test(arguments: [
        ("sockt = 1", "F: sockt: there is no such key; the keys known here are allow, backend, daemon, device, limits"),
        ("[daemon]\nsockt = \"/s\"", "F: daemon.sockt: there is no such key; did you mean socket?"),
        ("[daemon]\nsocket = 1", "F: daemon.socket: this is an integer; write a string"),
        ("[daemon]\nsocket = \"s\"", "F: daemon.socket: “s” is not an absolute path; write one that begins with /"),
        ("daemon = 1", "F: daemon: this is an integer; write a section, [daemon]"),
        ("[daemon]\nlog_level = \"loud\"", "F: daemon.log_level: “loud” is not one of the choices"),
        ("[backend]\ntype = \"kernle\"", "F: backend.type: “kernle” is not one of the choices"),
        ("[limits]\nbatch = 0", "F: limits.batch: 0 is out of range; write a number from 1 to 1000000"),
        ("[limits]\nbatch = \"1 KiB\"", "F: limits.batch: this is a string; write an integer"),
        ("[limits]\nmemory_bytes = \"9 XiB\"", "F: limits.memory_bytes: this is a string; write an integer, or"),
        ("[limits]\nmemory_bytes = 1.5", "F: limits.memory_bytes: this is a floating-point number"),
        ("[limits]\nshare = 0", "F: limits.share: 0.0 is out of range; write a number above 0 and up to 1.0"),
        ("[limits]\nshare = \"half\"", "F: limits.share: this is a string; write a number such as 0.5"),
        ("[[share]]\nuid = 1", "F: share[0].share: this key is missing"),
        ("[[share]]\nshare = 1", "F: share[0].uid: the share is not for one user; give either uid or user"),
        ("[[share]]\nuid = 0\nuser = \"root\"\nshare = 1", "F: share[0].uid: the share is not for one user"),
        ("[[share]]\nuid = 1\nshare = 1\n[[share]]\nuid = 1\nshare = 1.0", "F: share[1].uid: user 1 has a share"),
        ("[allow]\nuid = 1", "F: allow: this is a table; write [[allow]] for each"),
        ("[[allow]]\ndevices = []", "F: allow[0].devices: the rule is for no device"),
        ("[[allow]]\nuid = 1", "F: allow[0].devices: the rule is for no device; name one, or write"),
        (
            "[daemon]\nmetrics = \"/\(String(repeating: "m", count: 107))\"",
            "F: daemon.metrics: the path has 108 bytes; choose one of at most 107"
        ),
        ("[[allow]]\nuser = \"no.such.user\"", "F: allow[0].user: this machine has no user “no.such.user”"),
        ("[[allow]]\ngroup = \"no.such\"", "F: allow[0].group: this machine has no group “no.such”"),
        ("[[allow]]\nuid = -1", "F: allow[0].uid: -1 is out of range"),
        ("[[allow]]\ndevices = [\"a\", 1]", "F: allow[0].devices[1]: this is an integer; write a string"),
    ])
    func mistakesNameTheKey(text: String, message: String) {
        #expect(error(text)?.hasPrefix(message) == true, "\(error(text) ?? "")")
    }

    /// A file, given in parts, and how the message about it begins.
    struct Mistake: Sendable, CustomTestStringConvertible {
        let text: String
        let message: String

        init(_ parts: String..., gives message: String) {
            text = parts.joined()
            self.message = "F: " + message
        }

        var testDescription: String { message }
    }

    private static let smmu = "[[smmu]]\nname = \"s\"\n"
    private static let smmuT = "[[smmu]]\nname = \"t\"\n"

    private static func device(_ streams: String = "[1]", name: String = "d", smmu: String = "s") -> String {
        "[[device]]\nname = \"\(name)\"\nsmmu = \"\(smmu)\"\nstream_ids = \(streams)\n"
    }

    static let badSMMUs: [Mistake] = [
        Mistake("[[smmu]]\n", gives: "smmu[0].name: this key is missing"),
        Mistake(smmu, smmu, gives: "smmu[1].name: there is another SMMU named “s”"),
        Mistake(smmu, "oas = 45", gives: "smmu[0].oas: 45 is not one of the choices; write one of 32, 36"),
        Mistake(smmu, "oas = 52", gives: "smmu[0].oas: 52-bit addresses need the 64 KiB granule"),
        Mistake(smmu, "va_bits = 52", gives: "smmu[0].va_bits: 52-bit addresses need"),
        Mistake(smmu, "stage1 = false\nstage2 = false", gives: "smmu[0].stage2: an SMMU translates in"),
        Mistake(smmu, "ats = false", gives: "smmu[0].pri: PRI needs ATS"),
        Mistake(smmu, "granules = []", gives: "smmu[0].granules: an SMMU needs a granule"),
        Mistake(smmu, "granules = [\"8K\"]", gives: "smmu[0].granules[0]: “8K” is not a granule"),
        Mistake(
            smmu, "stall = false\nstall_model = 2", gives: "smmu[0].stall_model: stall = false says otherwise; leave"),
        Mistake(smmu, "stall_model = 3", gives: "smmu[0].stall_model: 3 is not one of the choices; write one of 0, 1"),
        Mistake(smmu, "name2 = 1", gives: "smmu[0].name2: there is no such key; did you mean name?"),
    ]

    static let badDevices: [Mistake] = [
        Mistake(device(), gives: "device[0].smmu: there is no SMMU named “s”; describe it with [[smmu]]"),
        Mistake(smmu, device(smmu: "u"), gives: "device[0].smmu: there is no SMMU named “u”; write one of s"),
        Mistake(smmu, device(), device(), gives: "device[1].name: there is another device named “d”"),
        Mistake(smmu, device("[]"), gives: "device[0].stream_ids: a device needs a StreamID"),
        Mistake(smmu, device("[1, -1]"), gives: "device[0].stream_ids[1]: -1 is out of range"),
        Mistake(smmu, device("[65536]"), gives: "device[0].stream_ids[0]: s has 16 StreamID bits"),
        Mistake(smmu, device("[1, 1]"), gives: "device[0].stream_ids[1]: StreamID 0x1 of s belongs to “d”"),
        Mistake(smmu, device(), device(name: "e"), gives: "device[1].stream_ids[0]: StreamID 0x1 of s"),
        Mistake(smmu, device(), "pasid_bits = 17", gives: "device[0].pasid_bits: s has 16 SubstreamID bits"),
        Mistake(
            smmu, "stage1 = false\n", device(), "pasid_bits = 1",
            gives: "device[0].pasid_bits: s has 0 SubstreamID bits"),
        Mistake(smmu, "stall = false\n", device(), "stall = true", gives: "device[0].stall: s does not have it"),
        Mistake(smmu, device(), "pri = true", gives: "device[0].pri: PRI needs ATS"),
        Mistake(smmu, device(), "queues = 1", gives: "device[0].queues: the queues of an accelerator need PASIDs"),
        Mistake(
            smmu, smmuT, device(), "group = \"g\"\n", device(name: "e", smmu: "t"), "group = \"g\"",
            gives: "device[1].group: group “g” has devices behind s"),
    ]

    static let badRegions: [Mistake] = [
        Mistake(smmu, device(), "reserved = [1]", gives: "device[0].reserved[0]: this is an integer; write a table"),
        Mistake(
            smmu, device(), "reserved = [{start = 0}]", gives: "device[0].reserved[0].last: this key is missing"),
        Mistake(
            smmu, device(), "reserved = [{start = 4096, last = 0}]",
            gives: "device[0].reserved[0].last: the region ends before"),
        Mistake(
            smmu, device(), "reserved = [{start = 1, last = 4095}]",
            gives: "device[0].reserved[0]: the region is not whole pages"),
        Mistake(
            smmu, device(), "reserved = [{start = \"0xg\", last = 0}]",
            gives: "device[0].reserved[0].start: this is a string"),
        Mistake(
            smmu, device(), "reserved = [{start = 0, last = 4095}, {start = 0, last = 8191}]",
            gives: "device[0].reserved[1]: the region overlaps reserved[0]"),
    ]

    @Test(arguments: badSMMUs + badDevices + badRegions)
    func badMachinesNameTheKey(mistake: Mistake) {
        #expect(error(mistake.text)?.hasPrefix(mistake.message) == true, "\(error(mistake.text) ?? "")")
    }

    @Test func allMistakesOfAFileAreToldAtOnce() throws {
        let text = """
            sockt = 1
            [daemon]
            log_level = "loud"
            [limits]
            batch = 0
            [[allow]]
            uid = -1
            gid = -1
            [[share]]
            user = "no.such.user"
            share = 2
            [[smmu]]
            name = "s"
            oas = 45
            [[device]]
            smmu = "s"
            pasid_bits = 21
            reserved = [{start = 1}]
            """
        let error = try #require(
            #expect(throws: ConfigurationError.self) { try ConfigurationFile.parse(text, file: "F") })
        let keys = error.lines.map { $0.split(separator: ":")[1].dropFirst() }
        #expect(
            keys == [
                "sockt", "daemon.log_level", "limits.batch", "share[0].user", "share[0].share", "allow[0].uid",
                "allow[0].gid", "allow[0].devices", "smmu[0].oas", "device[0].name", "device[0].stream_ids",
                "device[0].pasid_bits", "device[0].reserved[0].last",
            ])
        #expect(error.summary == error.description + " (and 12 more mistakes)")
    }

    @Test func theRulesOfMachinesAreBrokenByMoreThanOneAtOnce() throws {
        let text = Self.smmu + Self.device("[]") + Self.device(name: "e", smmu: "u") + Self.device(name: "f")
        let error = try #require(
            #expect(throws: ConfigurationError.self) { try ConfigurationFile.parse(text, file: "F") })
        #expect(error.lines.count == 2, "\(error.lines)")
    }

    @Test func noMoreMistakesAreToldThanAnybodyReads() throws {
        let text = (0..<100).map { "k\($0) = 1\n" }.joined()
        let error = try #require(
            #expect(throws: ConfigurationError.self) { try ConfigurationFile.parse(text, file: "F") })
        #expect(error.lines.count == 51 && error.lines.last == "F: and 50 more mistakes")
    }
}
