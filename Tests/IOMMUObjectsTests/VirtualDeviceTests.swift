import IOMMU
import TestSupport
import Testing

@testable import IOMMUObjects

/// Virtual ids, what becomes of them when a device goes, and who gets its events and faults.
@Suite struct VirtualDeviceTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let ioas: ObjectID
    let device: ObjectID
    let parent: ObjectID
    let viommu: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        ioas = try context.allocateIOAS()
        device = try laboratory.bind(ObjectLaboratory.wide)
        parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        viommu = try context.allocateVIOMMU(device: device, hwpt: parent, type: "mock")
    }

    private func vdevice(_ virtualID: UInt64) throws -> ObjectID {
        try context.allocateVDevice(viommu: viommu, device: device, virtualID: virtualID)
    }

    private func nested(fault: ObjectID? = nil) throws -> ObjectID {
        try context.allocateHWPT(HWPTRequest(device: device, pt: viommu, fault: fault, vste: (1, 0)))
    }

    // MARK: Tombstones

    /// The id is given to nobody, so that who destroys the vdevice late destroys no stranger.
    @Test(arguments: [false, true])
    func theIDOfAVDeviceOutlivesItsDevice(unplugging: Bool) throws {
        let vdevice = try vdevice(1)
        if unplugging { try laboratory.backend.removeDevice(named: ObjectLaboratory.wide) }
        try context.unbind(device: device)
        let next = try (0..<4).map { _ in try context.allocateIOAS() }
        #expect(next.contains(device) && !next.contains(vdevice))
        expectRefusal(.ENOENT, in: laboratory) { try context.destroy(object: vdevice) }
        let memory = try laboratory.memory()
        expectRefusal(.ENOENT, in: laboratory) { try laboratory.map(vdevice, memory, at: 0) }
        #expect(context.objectCount == context.objects().count)
        context.close()
        #expect(context.isEmpty)
        #expect(Account.Resource.allCases.allSatisfy { laboratory.account.used($0) == 0 })
    }

    @Test func aDestroyedVDeviceLeavesNothing() throws {
        let vdevice = try vdevice(1)
        try context.destroy(object: vdevice)
        try context.unbind(device: device)
        let next = try (0..<2).map { _ in try context.allocateIOAS() }
        #expect(Set(next) == [device, vdevice])
    }

    @Test func tombstonesCountAsObjects() throws {
        var limits = ContextLimits()
        limits.objects = 6
        let laboratory = try ObjectLaboratory(limits: limits)
        let context = laboratory.context
        let ioas = try context.allocateIOAS()
        for _ in 0..<2 {
            let device = try laboratory.bind(ObjectLaboratory.wide)
            let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
            let viommu = try context.allocateVIOMMU(device: device, hwpt: parent, type: "mock")
            _ = try context.allocateVDevice(viommu: viommu, device: device, virtualID: 1)
            try context.unbind(device: device)
            try context.destroy(object: viommu)
            try context.destroy(object: parent)
        }
        for _ in 0..<3 { _ = try context.allocateIOAS() }
        expectRefusal(.EDQUOT, in: laboratory) { try context.allocateIOAS() }
    }

    // MARK: Ids

    @Test func virtualIDsHave64BitsUnlessTheDriverSaysOtherwise() throws {
        let vdevice = try vdevice(.max)
        let shown = context.objects().first { $0.id == vdevice && $0.kind == "vdevice" }
        #expect(shown?.state.contains(.init("virt_id", .number(.max))) == true)
    }

    // MARK: Events and faults

    private func report(_ words: [UInt64]) throws -> Bool {
        try laboratory.backend.registry.device(named: ObjectLaboratory.wide).forwardEvent { words + [$0] }
    }

    @Test func eventsKeepTheIDOfTheAttach() throws {
        let queue = try context.allocateVEventQueue(viommu: viommu, type: "mock", depth: 8)
        func read() throws -> [[UInt64]] { try context.readVirtualEvents(queue, max: 8).map(\.record) }
        let first = try vdevice(7)
        #expect(try !report([1]))
        _ = try context.attach(device: device, to: nested(), pasid: nil)
        #expect(try report([2]))
        try context.destroy(object: first)
        #expect(try report([3]))
        let second = try vdevice(8)
        #expect(try report([4]))
        #expect(try read() == [[2, 7], [3, 7], [4, 7]])
        _ = try context.replace(device: device, with: nested(), pasid: nil)
        #expect(try report([5]))
        #expect(try read() == [[5, 8]])
        try context.destroy(object: second)
        try context.detach(device: device, pasid: nil)
        #expect(try !report([6]))
    }

    /// A PASID that nothing is attached to is the guest's own where the device is in a guest's stage 1.
    @Test(arguments: ["answered", "detached", "replaced"])
    func faultsOfAGuestsPASIDsGoToTheQueueOfTheDevice(end: String) throws {
        let queue = try context.allocateFaultQueue()
        _ = try vdevice(7)
        _ = try context.attach(device: device, to: nested(fault: queue), pasid: nil)
        let known = try laboratory.backend.registry.device(named: ObjectLaboratory.wide)
        let port = try laboratory.backend.port(ObjectLaboratory.wide)
        for token in 1...2 as ClosedRange<UInt64> {
            known.deliver(
                DeviceFault(
                    pasid: 5, address: 0x4000, permissions: .read, last: true, groupID: 0,
                    token: FaultToken(rawValue: token)))
        }
        let faults = try context.readFaults(queue, max: 1)
        #expect(faults.map(\.pasid) == [5] && port.answers.isEmpty)
        switch end {
        case "answered": _ = try context.respond(fault: queue, [FaultResponse(cookie: 1, success: true)])
        case "detached": try context.detach(device: device, pasid: nil)
        default: _ = try context.replace(device: device, with: nested(), pasid: nil)
        }
        #expect(port.answers.map(\.success) == (end == "answered" ? [true] : [false, false]))
    }
}
