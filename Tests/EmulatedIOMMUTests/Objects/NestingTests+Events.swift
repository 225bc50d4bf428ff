import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// What the guest is told of its devices' faults.
extension NestingTests {
    private func eventQueue(depth: UInt32 = 64) throws -> ObjectID {
        try context.allocateVEventQueue(viommu: guest.viommu, type: "arm_smmuv3", depth: depth)
    }

    @Test func theEightKindsOfEventsReachTheGuest() throws {
        let queue = try eventQueue()
        try guest.store(Guest.level3, Guest.page(Guest.data) | 1 << 7)
        try guest.store(Guest.level3 + 8, Guest.page(Guest.data) & ~(1 << 10))
        try guest.store(Guest.level3 + 16, Guest.page(1 << 43))
        var narrow = Guest.contextDescriptor
        narrow.IPS = 0
        try guest.storeCD(narrow)
        var two = Guest.vste
        two.0 |= 1 << 59
        var hwpt = try guest.attach()
        func next(_ type: EventType, _ access: () throws -> UInt64?) throws {
            #expect(try access() == nil)
            let events = try context.readVirtualEvents(queue, max: 10)
            try #require(events.count == 1, "\(type)")
            let words = events[0].record
            let record = EventRecord(word0: words[0], word1: words[1], word2: words[2], word3: words[3])
            #expect(record.type == type, "\(record)")
            #expect(record.StreamID == UInt32(Guest.virtualID))
        }
        func change(_ vste: (UInt64, UInt64)) throws {
            let new = try guest.nested(vste)
            _ = try context.replace(device: guest.device, with: new, pasid: nil)
            try context.destroy(object: hwpt)
            hwpt = new
        }
        try next(.F_TRANSLATION) { try guest.reach(Guest.va + 0x8000) }
        try next(.F_PERMISSION) { try guest.reach(Guest.va, .write) }
        try next(.F_ACCESS) { try guest.reach(Guest.va + 0x1000) }
        try next(.F_ADDR_SIZE) { try guest.reach(Guest.va + 0x2000) }
        try next(.C_BAD_SUBSTREAMID) { try guest.reach(Guest.va, pasid: 1) }
        try change(two)
        try next(.F_STREAM_DISABLED) { try guest.reach(Guest.va) }
        try next(.C_BAD_CD) { try guest.reach(Guest.va, pasid: 1) }
        // More CDs than the SMMU has SubstreamIDs for: legal to install, not to use.
        try change((Guest.vste.0 | 31 << 59, 0))
        try next(.C_BAD_STE) { try guest.reach(Guest.va) }
    }

    @Test func eventsAreNotThoseOfAnotherGuest() throws {
        let own = try eventQueue()
        let viommu = try context.allocateVIOMMU(device: guest.device, hwpt: guest.parent, type: "arm_smmuv3")
        let other = try context.allocateVEventQueue(viommu: viommu, type: "arm_smmuv3", depth: 64)
        _ = try guest.attach()
        _ = try guest.reach(Guest.va + 0x8000)
        #expect(try context.readVirtualEvents(own, max: 10).count == 1)
        // The device goes on in its guest's tables, while another guest gets it next.
        try context.destroy(object: guest.vdevice)
        _ = try context.allocateVDevice(viommu: viommu, device: guest.device, virtualID: 1)
        _ = try guest.reach(Guest.va + 0x8000)
        let events = try context.readVirtualEvents(own, max: 10)
        #expect(events.map { $0.record[0] >> 32 } == [Guest.virtualID])
        #expect(try context.readVirtualEvents(other, max: 10).isEmpty)
    }

    /// The guest's CD asks for stalls, but nobody takes its faults: the access ends, and the guest is not asked.
    @Test func stallsAreNoEventsOfTheGuest() throws {
        let queue = try eventQueue()
        var stalling = Guest.contextDescriptor
        stalling.S = true
        try guest.storeCD(stalling)
        _ = try guest.attach()
        #expect {
            _ = try context.emulated.dmaRead(
                device: guest.device, pasid: nil, iova: Guest.va + 0x8000, length: 4, completion: { _ in })
        } throws: {
            ($0 as? IOMMUError)?.errno == .EFAULT
        }
        #expect(try context.readVirtualEvents(queue, max: 10).isEmpty)
    }

    /// A guest's own PASIDs stall into the fault queue of what its device is attached to.
    /// A device that stalls, and one that asks by PRI: then the guest's STE has ATS on.
    @Test(arguments: [ObjectLaboratory.wide, ObjectLaboratory.pci])
    func faultsOfTheGuestsPASIDsAreQueued(name: String) throws {
        let stalls = name == ObjectLaboratory.wide
        let guest = stalls ? self.guest : try Guest(laboratory, device: name)
        let queue = try context.allocateFaultQueue()
        var second = Guest.contextDescriptor
        (second.S, second.ASID) = (stalls, 2)
        try guest.storeCD(second, at: 1)
        // Two CDs; without a PASID the device uses the first.
        let hwpt = try guest.nested((Guest.vste.0 | 1 << 59, stalls ? 2 : 2 | 1 << 28), fault: queue)
        _ = try context.attach(device: guest.device, to: hwpt, pasid: nil)
        var result: Result<[UInt8], IOMMUError>?
        let progress = try context.emulated.dmaRead(
            device: guest.device, pasid: 1, iova: Guest.va + 0x8000, length: 4, completion: { result = $0 })
        guard case .pending = progress else { return #expect(Bool(false), "it waits for its page") }
        let faults = try context.readFaults(queue, max: 8)
        try #require(faults.count == 1)
        #expect(faults[0].pasid == 1 && faults[0].address == Guest.va + 0x8000 && faults[0].device == guest.device)
        try guest.store(Guest.level3 + 64, Guest.page(Guest.data))
        _ = try context.respond(fault: queue, [FaultResponse(cookie: faults[0].cookie, success: true)])
        laboratory.executor.drain()
        #expect(try result?.get().count == 4)
    }

    @Test func lostEventsShowInTheSequence() throws {
        let queue = try eventQueue(depth: 2)
        _ = try guest.attach()
        for page in 1...5 as ClosedRange<UInt64> { _ = try guest.reach(Guest.va + page << 12) }
        let first = try context.readVirtualEvents(queue, max: 2)
        #expect(first.map(\.sequence) == [0, 1] && first.allSatisfy { !$0.lost })
        let second = try context.readVirtualEvents(queue, max: 10)
        #expect(second.map(\.sequence) == [4] && second[0].lost && second[0].record.isEmpty)
        _ = try guest.reach(Guest.va + 0x9000)
        #expect(try context.readVirtualEvents(queue, max: 10).map(\.sequence) == [5])
        #expect(try context.readVirtualEvents(queue, max: 10).isEmpty)
    }

    @Test func eventQueuesAreChecked() throws {
        expectRefusal(.EINVAL, in: laboratory) { try eventQueue(depth: 0) }
        expectRefusal(.EINVAL, in: laboratory) { try eventQueue(depth: (1 << 19) + 1) }
        expectRefusal(.EOPNOTSUPP, in: laboratory) {
            try context.allocateVEventQueue(viommu: guest.viommu, type: "tegra241", depth: 1)
        }
        expectRefusal(.ENOENT, in: laboratory) {
            try context.allocateVEventQueue(viommu: guest.ioas, type: "arm_smmuv3", depth: 1)
        }
        _ = try eventQueue(depth: 1 << 19)
        expectRefusal(.EEXIST, in: laboratory) { try eventQueue() }
    }
}
