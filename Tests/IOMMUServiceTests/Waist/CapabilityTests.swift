import IOMMU
import IOMMUService
import JSONRPC
import LinuxIO
import TestSupport
import Testing

@Suite struct CapabilityTests {
    private let declarations = MethodCatalog.make().declarations

    /// What a method says that it needs.
    private func needed(by method: MethodDeclaration) -> [String] {
        method.refusals.filter { $0.errno == Errno.EOPNOTSUPP.rawValue }.map(\.reason).filter { reason in
            Capability.allCases.contains { $0.missingReason.slug == reason }
        }
    }

    @Test func everyMethodBeyondTheContractSaysWhatItNeeds() {
        let subjects: [String: Capability] = [
            "dma": .deviceDMA, "mm": .sharedAddressing, "sva": .sharedAddressing, "queue": .acceleratorQueues,
            "smmu": .smmuInspection, "vsmmu": .bareSMMUs, "cpu": .tlbBroadcast, "fd": .descriptorExport,
        ]
        let single: [String: Capability] = [
            "device.add": .deviceHotplug, "device.remove": .deviceHotplug, "device.export": .descriptorExport,
        ]
        for method in declarations {
            let subject = String(method.title.prefix { $0 != "." })
            let expected = single[method.title] ?? subjects[subject]
            var reasons = expected.map { [$0.missingReason.slug] } ?? []
            // Of a bare SMMU, too.
            if subject == "smmu" { reasons.append(Capability.bareSMMUs.missingReason.slug) }
            #expect(needed(by: method) == reasons, "\(method.title)")
        }
    }

    @Test func lookingIntoABareSMMUNeedsOne() throws {
        let client = try ServiceBench(backend: FakeBackend()).connect()
        for method in ["registers", "cache", "commands", "events"] {
            try client.expect(Errno.EOPNOTSUPP.rawValue, "no_bare_smmus", "smmu.\(method)", #"{"vsmmu":1}"#)
        }
        for method in ["ste", "cd"] {
            try client.expect(
                Errno.EOPNOTSUPP.rawValue, "no_bare_smmus", "smmu.\(method)", #"{"vsmmu":1,"stream_id":1}"#)
        }
        try client.expect(
            Errno.EOPNOTSUPP.rawValue, "no_bare_smmus", "smmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":0}"#)
    }

    @Test func aBackendWithoutItRefusesWithItsOwnReason() throws {
        let backend = FakeBackend()
        let bench = try ServiceBench(backend: backend)
        let client = try bench.connect()
        var met: Set<String> = []
        for method in declarations {
            guard let reason = needed(by: method).first else { continue }
            let params = RequestShapes.minimal(method.parameters).text
            let reply = try #require(try client.answer(method.title, params), "\(method.title)")
            let error = try #require(reply["error"], "\(method.title): \(reply.text)")
            #expect(error["code"]?.intValue == -Int(Errno.EOPNOTSUPP.rawValue), "\(method.title): \(reply.text)")
            #expect(error["data"]?["reason"]?.stringValue == reason, "\(method.title)")
            #expect(error["message"]?.stringValue?.isEmpty == false && error["data"]?["hint"] != nil)
            met.insert(reason)
        }
        #expect(met == Set(Capability.allCases.map(\.missingReason.slug)))
        #expect(backend.contexts.allSatisfy { $0.objectIDs.isEmpty })
    }
}
