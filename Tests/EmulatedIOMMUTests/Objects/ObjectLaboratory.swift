import IOMMU
import SMMUv3
import TestSupport

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// The laboratory topology with one session in it.
struct ObjectLaboratory: SessionLaboratory, Snapshotted {
    let backend: EmulatedBackend
    let context: ObjectContext
    let account: Account
    let executor = StepExecutor()
    private let end: End

    /// Closes the session with the last copy of the laboratory.
    private final class End {
        private let backend: EmulatedBackend
        private let context: ObjectContext

        init(_ backend: EmulatedBackend, _ context: ObjectContext) { (self.backend, self.context) = (backend, context) }

        deinit { context.close() }
    }

    init(
        limits: ContextLimits = ContextLimits(), account: Account = Account(uid: 1000),
        topology: TopologyDescription = ObjectLaboratory.topology, caches: CacheGeometry = .neverEvicting,
        pages: (Machine) -> any PageSource = { $0 }
    ) throws {
        backend = try EmulatedBackend(topology: topology, executor: executor, caches: caches, pages: pages)
        self.account = account
        context = backend.makeContext(owner: "session of uid 1000", account: account, limits: limits)
        end = End(backend, context)
    }

    static var topology: TopologyDescription {
        var second = SMMUDescription(name: "smmu1")
        second.broadcastTLB = true
        return TopologyDescription(smmus: [SMMUDescription(name: "smmu0"), second], devices: devices)
    }

    static var devices: [DeviceDescription] {
        func device(_ name: String, _ smmu: String, _ stream: UInt32) -> DeviceDescription {
            DeviceDescription(name: name, smmu: smmu, streamIDs: [stream])
        }
        var pci = device(pci, "smmu0", 0x100)
        (pci.pasidBits, pci.pri, pci.ats) = (10, true, true)
        var first = device(pairFirst, "smmu0", 0x200)
        first.group = "pair"
        var second = device(pairSecond, "smmu0", 0x201)
        second.group = "pair"
        var stalling = device(stalling, "smmu0", 0x300)
        (stalling.stall, stalling.pasidBits) = (true, 8)
        var reserving = device(reserving, "smmu0", 0x400)
        if let range = AddressRange(start: 0x4000_0000, last: 0x400f_ffff) {
            reserving.reserved = [ReservedRegion(range: range, kind: .reserved)]
        }
        var wide = device(wide, "smmu0", 0x500)
        (wide.stall, wide.pasidBits) = (true, 16)
        var other = device(other, "smmu1", 0x100)
        (other.stall, other.pasidBits) = (true, 10)
        return [pci, first, second, stalling, reserving, wide, other]
    }

    // MARK: What the hardware does

    /// Where an access of the device goes; nil if it does not get through.
    func reach(
        _ name: String, _ iova: UInt64, pasid: UInt32? = nil, _ access: SMMUv3.Access = .read
    ) throws -> UInt64? {
        let device = try backend.device(named: name)
        let transaction = Transaction(
            streamID: device.description.streamIDs[0], substreamID: pasid, address: iova, access: access)
        guard case .ok(let output) = device.smmu.smmu.translate(transaction) else { return nil }
        return output.address
    }

    /// Every object and every STE and CD word: what a refusal must not change.
    var snapshot: Snapshot {
        var entries: [[UInt64]] = []
        for device in backend.devices {
            for streamID in device.description.streamIDs {
                entries.append(device.smmu.smmu.lookupSTE(streamID: streamID)?.words ?? [])
                for substream in [0, 1, 2, 3] as [UInt32] {
                    entries.append(device.smmu.smmu.lookupCD(streamID: streamID, substreamID: substream)?.words ?? [])
                }
            }
        }
        return Snapshot(
            objects: context.objects(), entries: entries, mappedBytes: context.mappedBytes,
            charged: Account.Resource.allCases.map { account.used($0) })
    }

    struct Snapshot: Equatable {
        let objects: [ObjectDescription]
        let entries: [[UInt64]]
        let mappedBytes: UInt64
        let charged: [UInt64]
    }
}
