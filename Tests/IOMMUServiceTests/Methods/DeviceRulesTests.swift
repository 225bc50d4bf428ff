import Foundation
import IOMMUService
import JSONRPC
import TestSupport
import Testing

/// What a device may be, said by a configuration file and by `device.add`: the same rules, the same words.
struct DeviceRulesTests {
    /// One mistake in the description of a device named "new" behind SMMU "s".
    struct Mistake: Sendable, CustomTestStringConvertible {
        /// The keys and values, as TOML; quoted keys make them JSON but for the equals signs.
        let members: [String: String]
        let key: String
        let errno: Int32
        let reason: String
        let text: String

        init(_ members: [String: String], _ key: String, _ errno: Int32, _ reason: String, _ text: String) {
            self.members = ["name": "\"new\"", "smmu": "\"s\"", "stream_ids": "[7]"].merging(members) { $1 }
            self.key = key
            self.errno = errno
            self.reason = reason
            self.text = text
        }

        var testDescription: String { "\(reason) at \(key)" }

        var parameters: String {
            let values = members.mapValues { $0.replacingOccurrences(of: " = ", with: ":") }
            return "{" + values.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
        }

        var section: String { "\n[[device]]\n" + members.map { "\($0.key) = \($0.value)\n" }.joined() }
    }

    /// SMMU "t" has neither stall nor ATS; "old" has StreamID 1 of "s" and is in group "g".
    private static let machine = """
        [[smmu]]
        name = "s"
        [[smmu]]
        name = "t"
        stall = false
        pri = false
        ats = false
        [[device]]
        name = "old"
        smmu = "s"
        stream_ids = [1]
        group = "g"

        """

    static let mistakes: [Mistake] = [
        Mistake(["smmu": "\"u\""], "smmu", ENOENT, "unknown_smmu", "there is no SMMU named “u”"),
        Mistake(["name": "\"old\""], "name", EEXIST, "device_exists", "there is another device named “old”"),
        Mistake(["stream_ids": "[7, 1]"], "stream_ids[1]", EEXIST, "stream_id_taken", "belongs to “old” already"),
        Mistake(["stream_ids": "[7, 8, 7]"], "stream_ids[2]", EINVAL, "stream_id_twice", "belongs to “new” already"),
        Mistake(["stream_ids": "[65536]"], "stream_ids[0]", EINVAL, "bad_stream_id", "s has 16 StreamID bits"),
        Mistake(["pasid_bits": "17"], "pasid_bits", EINVAL, "bad_pasid_bits", "s has 16 SubstreamID bits"),
        Mistake(["smmu": "\"t\"", "stall": "true"], "stall", EINVAL, "no_stall", "t does not have it"),
        Mistake(["smmu": "\"t\"", "ats": "true"], "ats", EINVAL, "no_ats", "t does not have it"),
        Mistake(["smmu": "\"t\"", "pri": "true"], "pri", EINVAL, "no_pri", "t does not have it"),
        Mistake(["pri": "true"], "pri", EINVAL, "pri_without_ats", "PRI needs ATS"),
        Mistake(
            ["queues": "1"], "queues", EINVAL, "queues_without_pasids", "the queues of an accelerator need PASIDs"),
        Mistake(["smmu": "\"t\"", "group": "\"g\""], "group", EINVAL, "group_spans_smmus", "has devices behind s"),
        Mistake(
            ["reserved": #"[{"start" = 1, "last" = 4095}]"#], "reserved[0]", EINVAL, "region_not_pages",
            "the region is not whole pages"),
        Mistake(
            ["reserved": #"[{"start" = 0, "last" = 4095}, {"start" = 0, "last" = 8191}]"#], "reserved[1]", EINVAL,
            "regions_overlap", "the region overlaps reserved[0]"),
    ]

    @Test func aFileAndACallAreRefusedAlike() throws {
        let bench = try ServiceBench(file: Self.machine)
        let client = try bench.connect()
        let before = try client.call("topology.list")
        for mistake in Self.mistakes {
            let error = try client.refusal("device.add", mistake.parameters)
            #expect(error.code == -Int(mistake.errno) && error.reason == mistake.reason, "\(mistake): \(error)")
            let told = "\(mistake.key): "
            #expect(error.message.contains(told) && error.message.contains(mistake.text), "\(error.message)")
            #expect(error.details.contains { $0.key == "name" }, "\(mistake)")

            let read = #expect(throws: ConfigurationError.self, "\(mistake)") {
                try ConfigurationFile.parse(Self.machine + mistake.section, file: "iommud.toml")
            }
            let complaint = read.map { "\($0)" } ?? ""
            #expect(complaint.contains("device[1].\(told)") && complaint.contains(mistake.text), "\(complaint)")
        }
        #expect(try client.call("topology.list") == before)
    }

    @Test func aCallSaysAllThatAFileSays() throws {
        let bench = try ServiceBench(file: Self.machine)
        let client = try bench.connect()
        try client.call(
            "device.add",
            #"""
            {"name":"new","smmu":"s","stream_ids":[7],"pasid_bits":8,"stall":true,"queues":4,"bus":"platform",
             "driver":"hisi_zip","algorithms":["zlib","gzip"]}
            """#)
        let topology = try client.call("topology.list")
        let device = try #require(topology["devices"]?.arrayValue?.first { $0["name"]?.stringValue == "new" })
        #expect(device["driver"]?.stringValue == "hisi_zip" && device["group"]?.intValue != nil)
        #expect(device["noiommu"] == nil && device["cdev"] == nil && device["vfio_bound"] == nil)
        let accelerator = try #require(topology["uacce"]?[0])
        #expect(accelerator["algorithms"] == .array([.string("zlib"), .string("gzip")]))
        #expect(accelerator["queues_available"]?.intValue == 4)
        // What has gone leaves nothing behind that could be in the way.
        for name in ["new", "old"] { try client.call("device.remove", #"{"name":"\#(name)"}"#) }
        try client.call("device.add", #"{"name":"old","smmu":"t","stream_ids":[1,7],"group":"g"}"#)
        let odd = try client.refusal("device.add", #"{"name":"x","smmu":"s","stream_ids":[9],"driver":"a b"}"#)
        #expect(odd.code == -Int(EINVAL) && odd.reason == "bad_format" && odd.message.contains("driver"), "\(odd)")
    }
}
