import IOMMU
import TestSupport

@testable import IOMMUObjects

/// The laboratory topology on mock drivers, with one session in it.
struct ObjectLaboratory: SessionLaboratory, Snapshotted {
    let backend: MockMachine
    let context: ObjectContext
    let account: Account

    init(limits: ContextLimits = ContextLimits(), account: Account = Account(uid: 1000)) throws {
        backend = try MockMachine(TopologyDescription.laboratory.devices)
        self.account = account
        context = backend.makeContext(owner: "session of uid 1000", account: account, limits: limits)
    }

    /// The driver of most devices.
    var driver: MockDriver { get throws { try backend.port(Self.pci).mock } }

    /// Where an access of the device goes; nil if it does not get through.
    func reach(
        _ name: String, _ iova: UInt64, pasid: UInt32? = nil, _ access: AccessKind = .read
    ) throws -> UInt64? {
        try backend.port(name).translate(iova, pasid: pasid, access)
    }

    /// Every object, and what every device translates through: what a refusal must not change.
    var snapshot: Snapshot {
        Snapshot(
            objects: context.objects(), devices: backend.registry.devices.map { describe($0) },
            mappedBytes: context.mappedBytes, charged: Account.Resource.allCases.map { account.used($0) },
            made: backend.drivers.values.map { [$0.domains, $0.slices] }, places: backend.places)
    }

    private func describe(_ device: Device) -> String {
        guard let port = try? backend.port(device.name) else { return "" }
        let targets = port.targets.sorted { $0.key ?? 0 < $1.key ?? 0 }.map { key, target in
            switch target {
            case .domain(let domain, let faults): "\(key ?? 0): \(ObjectIdentifier(domain)) \(faults)"
            case .nested(let domain, let faults): "\(key ?? 0): \(ObjectIdentifier(domain)) \(faults)"
            }
        }
        return "\(device.name) \(targets) \(port.pending)"
    }

    struct Snapshot: Equatable {
        let objects: [ObjectDescription]
        let devices: [String]
        let mappedBytes: UInt64
        let charged: [UInt64]
        let made: [[Int]]
        let places: [UInt64: UInt64]
    }
}

extension ObjectContext {
    /// Where the first byte of a memory object lies.
    func base(ofMemory memory: ObjectID) throws -> UInt64 {
        _ = try self.memory(memory)
        return memories.location(of: memory)
    }
}
