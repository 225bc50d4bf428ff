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
        let connection = try bench.connect()
        var met: Set<String> = []
        for method in declarations {
            guard let reason = needed(by: method).first else { continue }
            let params = JSONValue.object(minimal(method.parameters))
            let reply = try #require(try bench.send(method.title, params, on: connection), "\(method.title)")
            let error = try #require(reply["error"], "\(method.title): \(reply.text)")
            #expect(error["code"]?.intValue == -Int(Errno.EOPNOTSUPP.rawValue), "\(method.title): \(reply.text)")
            #expect(error["data"]?["reason"]?.stringValue == reason, "\(method.title)")
            #expect(error["message"]?.stringValue?.isEmpty == false && error["data"]?["hint"] != nil)
            met.insert(reason)
        }
        #expect(met == Set(Capability.allCases.map(\.missingReason.slug)))
        #expect(backend.contexts.allSatisfy { $0.objectIDs.isEmpty })
    }

    // MARK: Requests that are well formed

    private func minimal(_ fields: [FieldSchema]) -> [JSONValue.Member] {
        fields.filter(\.isRequired).map { .init(key: $0.name.description, value: minimal($0.type)) }
    }

    private func minimal(_ type: TypeSchema) -> JSONValue {
        switch type {
        case .bool: .bool(true)
        case .id: .count(1)
        case .unsigned(let range): .count(range.lowerBound)
        case .signed, .signedOrNull, .number: .count(0)
        case .hex: .hex(0)
        case .string, .nameOrID, .any: .string("x")
        case .choice(let names): .string(names[0])
        case .flags(let names): .array([.string(names[0])])
        case .base64: .string("AAAA")
        case .array(let element, let count): .array((0..<count.lowerBound).map { _ in minimal(element) })
        case .object(let fields): .object(minimal(fields))
        case .map: .object([])
        }
    }
}
