import IOMMU
import IOMMUService
import JSONRPC
import LinuxIO
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
            #expect(needed(by: method) == (expected.map { [$0.missingReason.slug] } ?? []), "\(method.title)")
        }
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
