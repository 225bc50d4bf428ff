import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

@Suite struct ObjectGraphTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
    }

    /// A session with something of every kind, attached in every way.
    private func fill(_ laboratory: ObjectLaboratory) throws -> Guest {
        let context = laboratory.context
        let guest = try Guest(laboratory)
        _ = try guest.attach()
        _ = try context.allocateVEventQueue(viommu: guest.viommu, type: "arm_smmuv3", depth: 4)
        let ioas = try context.allocateIOAS()
        let fault = try context.allocateFaultQueue()
        try laboratory.map(ioas, guest.memory, at: 0x1000, length: 0x4000)
        let pair = try [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond].map { try laboratory.bind($0) }
        for device in pair { _ = try context.attach(device: device, to: ioas, pasid: nil) }
        let stalling = try laboratory.bind(ObjectLaboratory.stalling)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: stalling, pt: ioas, flags: .pasid, fault: fault))
        _ = try context.attach(device: stalling, to: hwpt, pasid: nil)
        _ = try context.attach(device: stalling, to: hwpt, pasid: 7)
        let other = try laboratory.bind(ObjectLaboratory.other)
        _ = try context.attach(device: other, to: ioas, pasid: nil)
        return guest
    }

    /// Every reference is counted where it points to, and nothing else is.
    private func expectCountsAgree(_ context: ObjectContext) {
        var counted: [ObjectID: Int] = [:]
        let kinds: Set<String> = ["ioas", "hwpt", "device", "fault", "viommu", "vdevice", "veventq"]
        #expect(context.objectCount == context.objects().count)
        let objects = context.objects().filter { kinds.contains($0.kind) }
        for object in objects {
            for reference in object.refersTo {
                counted[reference.id, default: 0] += 1
                #expect(objects.contains { $0.id == reference.id && $0.kind == reference.kind })
            }
        }
        for object in objects {
            #expect(object.users == counted[object.id] ?? 0, "\(object.kind) \(object.id)")
        }
    }

    @Test func usersAreTheReferencesOfOthers() throws {
        let guest = try fill(laboratory)
        expectCountsAgree(context)
        #expect(Set(context.objects().map(\.kind)).count == 8)
        try context.detach(device: guest.device, pasid: nil)
        expectCountsAgree(context)
        try context.unbind(device: guest.device)
        expectCountsAgree(context)
    }

    @Test func closingFreesEverythingAndBlocksTheDevices() throws {
        let idle = laboratory.snapshot.entries
        _ = try fill(laboratory)
        context.close()
        #expect(context.isEmpty && context.objects().isEmpty && context.mappedBytes == 0)
        #expect(
            laboratory.backend.registry.groups.all.allSatisfy {
                $0.element.owner == nil && $0.element.attachments.isEmpty
            })
        #expect(laboratory.backend.devices.allSatisfy { $0.device.boundBy == nil && $0.master.attachment.isBlocked })
        #expect(laboratory.snapshot.entries.map(\.first) == idle.map(\.first))
        #expect(Account.Resource.allCases.allSatisfy { laboratory.account.used($0) == 0 })
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func destructionWorksInAnyOrder(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        _ = try fill(laboratory)
        while !context.table.isEmpty {
            let before = context.table.count
            for object in context.table.all.shuffled(using: &random) {
                // An automatic hwpt may have gone with its last device.
                guard context.table[object.id] === object else { continue }
                if object is DeviceObject {
                    if random.next(below: 2) == 0 { try context.unbind(device: object.id) }
                } else if object.users > 0 {
                    #expect(throws: IOMMUError.self) { try context.destroy(object: object.id) }
                } else {
                    try context.destroy(object: object.id)
                }
                expectCountsAgree(context)
            }
            #expect(context.table.count <= before)
        }
        for (id, _) in context.memories.all { try context.closeMemory(id) }
        #expect(context.isEmpty && laboratory.account.used(.objects) == UInt64(context.table.tombstones))
        context.close()
        #expect(Account.Resource.allCases.allSatisfy { laboratory.account.used($0) == 0 })
    }

    // MARK: Hot plug

    @Test func aRemovedDeviceAnswersENODEV() throws {
        let guest = try fill(laboratory)
        try laboratory.backend.removeDevice(named: Guest.name)
        #expect(throws: IOMMUError.self) { try laboratory.backend.device(named: Guest.name) }
        expectCountsAgree(context)
        #expect(context.table[guest.vdevice] == nil)
        let other = try context.allocateIOAS()
        for attempt in [
            { _ = try context.attach(device: guest.device, to: other, pasid: nil) },
            { _ = try context.replace(device: guest.device, with: other, pasid: nil) },
            { try context.detach(device: guest.device, pasid: nil) },
            { _ = try context.hardwareInfo(device: guest.device) },
            { _ = try context.allocateHWPT(HWPTRequest(device: guest.device, pt: other)) },
            { _ = try context.allocateVDevice(viommu: guest.viommu, device: guest.device, virtualID: 1) },
            { _ = try context.emulated.dmaRead(device: guest.device, pasid: nil, iova: 0, length: 1) { _ in } },
        ] as [() throws -> Void] {
            expectRefusal(.ENODEV, .deviceRemoved, in: laboratory, attempt)
        }
        try context.unbind(device: guest.device)
        expectRefusal(.ENOENT, .unknownDevice, in: laboratory) { try context.unbind(device: guest.device) }
        // The name can come back, as another device.
        try laboratory.backend.addDevice(DeviceDescription(name: Guest.name, smmu: "smmu0", streamIDs: [0x500]))
        _ = try laboratory.bind(Guest.name)
    }

    @Test func siblingsStayAttachedWhenOneIsRemoved() throws {
        let ioas = try context.allocateIOAS()
        let memory = try laboratory.memory()
        try laboratory.map(ioas, memory, at: 0x1000)
        let pair = try [ObjectLaboratory.pairFirst, ObjectLaboratory.pairSecond].map { try laboratory.bind($0) }
        for device in pair { _ = try context.attach(device: device, to: ioas, pasid: nil) }
        try laboratory.backend.removeDevice(named: ObjectLaboratory.pairFirst)
        #expect(try laboratory.reach(ObjectLaboratory.pairSecond, 0x1000) != nil)
        // A newcomer goes where its group is.
        var newcomer = DeviceDescription(name: "newcomer", smmu: "smmu0", streamIDs: [0x202])
        newcomer.group = "pair"
        try laboratory.backend.addDevice(newcomer)
        #expect(try laboratory.reach("newcomer", 0x1000) != nil)
        try context.unbind(device: pair[1])
        #expect(try laboratory.reach("newcomer", 0x1000) == nil)
        try context.unbind(device: pair[0])
        #expect(laboratory.backend.devices.allSatisfy { $0.group.owner == nil })
    }

    @Test func impossibleDevicesAreRefused() throws {
        func add(_ change: (inout DeviceDescription) -> Void) throws {
            var description = DeviceDescription(name: "new", smmu: "smmu0", streamIDs: [0x900])
            change(&description)
            try laboratory.backend.addDevice(description)
        }
        expectRefusal(.EEXIST, .deviceExists, in: laboratory) { try add { $0.name = ObjectLaboratory.pci } }
        expectRefusal(.EEXIST, .streamIDTaken, in: laboratory) { try add { $0.streamIDs = [0x900, 0x100] } }
        expectRefusal(.EINVAL, .noStreamID, in: laboratory) { try add { $0.streamIDs = [] } }
        expectRefusal(.EINVAL, .streamIDTwice, in: laboratory) { try add { $0.streamIDs = [1, 1] } }
        expectRefusal(.EINVAL, .badStreamID, in: laboratory) { try add { $0.streamIDs = [0x10000] } }
        expectRefusal(.EINVAL, .badPASIDBits, in: laboratory) { try add { $0.pasidBits = 17 } }
        expectRefusal(.EINVAL, .badName, in: laboratory) { try add { $0.name = "" } }
        expectRefusal(.ENOENT, .unknownSMMU, in: laboratory) { try add { $0.smmu = "smmu9" } }
        expectRefusal(.EINVAL, .groupSpansSmmus, in: laboratory) { try add { ($0.smmu, $0.group) = ("smmu1", "pair") } }
        expectRefusal(.ENODEV, .unknownDevice, in: laboratory) { try laboratory.backend.removeDevice(named: "nobody") }
        #expect(laboratory.backend.registry.groups.count == 6)
    }
}
