import Glibc
import IOMMU
import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Testing

/// Devices, tables and queues over a kernel.
@Suite struct DeviceTests {
    @Test func aDeviceIsBoundAttachedAndGivenBack() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let bound = try bench.work.value(try context.beginBind(deviceNamed: "vfio0"))
        #expect(bound.group == 0 && bench.backend.topology.devices[0].boundBy?.name == "session 1")
        let hwpt = try bench.work.value(try context.beginAttach(device: bound.device, to: ioas, pasid: nil))
        #expect(context.objects().map(\.kind) == ["ioas", "device", "hwpt"])
        expectRefusal(.EBUSY, .alreadyAttached) { () throws(IOMMUError) in
            try context.attach(device: bound.device, to: ioas, pasid: nil)
        }
        expectRefusal(.EBUSY, .objectInUse) { () throws(IOMMUError) in try context.destroy(object: ioas) }
        expectRefusal(.EBUSY, .objectInUse) { () throws(IOMMUError) in try context.destroy(object: hwpt) }
        let other = try context.allocateIOAS()
        let moved = try context.replace(device: bound.device, with: other, pasid: nil)
        #expect(moved != hwpt && context.objectCount == 4, "the automatic hwpt went with its device")
        try bench.work.value(try context.beginDetach(device: bound.device, pasid: nil))
        #expect(bench.kernel.isBlocked(bench.path("vfio0")))
        expectRefusal(.EINVAL, .notAttached) { () throws(IOMMUError) in
            try context.replace(device: bound.device, with: ioas, pasid: nil)
        }
        try bench.work.value(try context.beginUnbind(device: bound.device))
        #expect(bench.backend.topology.devices[0].boundBy == nil)
        for id in [ioas, other] { try bench.work.value(try context.beginDestroy(object: id)) }
        #expect(context.isEmpty)
    }

    @Test func anEmulatedDeviceIsOnTheIOASItself() throws {
        let bench = try KernelBench { $0[0].isEmulated = true }
        let context = bench.context()
        let (first, second) = (try context.allocateIOAS(), try context.allocateIOAS())
        let device = try context.bind(deviceNamed: "vfio0").device
        #expect(try context.attach(device: device, to: first, pasid: nil) == first)
        #expect(context.objects().first { $0.kind == "device" }?.refersTo == [.init(kind: "ioas", id: first)])
        expectRefusal(.EBUSY, .objectInUse) { () throws(IOMMUError) in try context.destroy(object: first) }
        #expect(try context.replace(device: device, with: second, pasid: nil) == second)
        try context.destroy(object: first)
        try context.detach(device: device, pasid: nil)
        try context.destroy(object: second)
        #expect(context.objects().map(\.kind) == ["device"])
    }

    @Test func aGroupBelongsToOneSession() throws {
        let bench = try KernelBench()
        let (first, second) = (bench.context(), bench.context())
        _ = try first.bind(deviceNamed: "vfio2")
        expectRefusal(.EBUSY, .alreadyBound) { () throws(IOMMUError) in try first.bind(deviceNamed: "vfio2") }
        expectRefusal(.EBUSY, .groupOwnedElsewhere) { () throws(IOMMUError) in try second.bind(deviceNamed: "vfio3") }
        #expect(try second.explain(deviceNamed: "vfio3").reasons.map(\.reason) == [.groupOwnedElsewhere])
        expectRefusal(.ENODEV, .unknownDevice) { () throws(IOMMUError) in try second.bind(deviceNamed: "vfio9") }
        try bench.work.value(first.beginClose())
        _ = try second.bind(deviceNamed: "vfio3")
    }

    @Test func siblingsGoTogether() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let (first, second) = (try context.allocateIOAS(), try context.allocateIOAS())
        let devices = [
            try context.bind(deviceNamed: "vfio2").device, try context.bind(deviceNamed: "vfio3").device,
        ]
        _ = try context.attach(device: devices[0], to: first, pasid: nil)
        expectRefusal(.EINVAL, .groupAttachedElsewhere) { () throws(IOMMUError) in
            try context.attach(device: devices[1], to: second, pasid: nil)
        }
        _ = try context.attach(device: devices[1], to: first, pasid: nil)
        let moved = try context.replace(device: devices[0], with: second, pasid: nil)
        let graph = context.objects().filter { $0.kind == "device" }
        #expect(graph.allSatisfy { $0.refersTo == [.init(kind: "hwpt", id: moved)] })
    }

    @Test func mappingsInReservedRegionsKeepADeviceOut() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 4096, name: nil, huge: false)
        _ = try context.map(
            ioas: ioas, MapRequest(memory: memory, offset: 0, length: 4096, iova: 0x800_0000, access: .read))
        let device = try context.bind(deviceNamed: "vfio1").device
        expectRefusal(.EADDRINUSE, .mappingInReservedRegion) { () throws(IOMMUError) in
            try context.attach(device: device, to: ioas, pasid: nil)
        }
        #expect(try context.explain(deviceNamed: "vfio1").reasons.map(\.reason) == [.mappingInReservedRegion])
        let problems = context.check(
            devices: [.id(device)], mappings: [CheckedMapping(iova: 0x800_0000, length: 4096)])
        #expect(problems.map(\.error.reason) == [.mappingInReservedRegion])
    }

    @Test func aKernelThatRefusesToBindIsExplained() throws {
        let bench = try KernelBench { $0[1].isViable = false }
        let context = bench.context()
        expectRefusal(.EPERM, .msiNotIsolated) { () throws(IOMMUError) in try context.bind(deviceNamed: "vfio1") }
        bench.inventory.devices[1].obstacles = [
            DeviceExplanation.Obstacle(
                reason: .groupOwnedElsewhere, text: "its sibling has the driver e1000e", hint: "unbind it")
        ]
        expectRefusal(.EBUSY, .groupOwnedElsewhere) { () throws(IOMMUError) in try context.bind(deviceNamed: "vfio1") }
        bench.inventory.devices[1].facts.cdev = nil
        bench.inventory.devices[1].obstacles = []
        expectRefusal(.ENODEV, .noVFIODriver) { () throws(IOMMUError) in try context.bind(deviceNamed: "vfio1") }
        #expect(context.isEmpty && bench.backend.topology.devices.allSatisfy { $0.boundBy == nil })
    }

    @Test func pasidsAreCheckedWhereTheKernelIsLax() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let device = try context.bind(deviceNamed: "vfio0").device
        let plain = try context.bind(deviceNamed: "vfio1").device
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        func attach(_ device: ObjectID, _ pt: ObjectID, _ pasid: UInt32?) -> () throws(IOMMUError) -> ObjectID {
            { () throws(IOMMUError) in try context.attach(device: device, to: pt, pasid: pasid) }
        }
        expectRefusal(.EINVAL, .badPASID, attach(device, hwpt, 0))
        expectRefusal(.EINVAL, .badPASID, attach(device, hwpt, 16))
        expectRefusal(.EOPNOTSUPP, .noPASID, attach(plain, hwpt, 1))
        expectRefusal(.EINVAL, .notPASIDCompatible, attach(device, ioas, 1))
        #expect(try context.attach(device: device, to: hwpt, pasid: 15) == hwpt)
        expectRefusal(.EINVAL, .notPASIDCompatible, attach(device, ioas, nil))
        expectRefusal(.EBUSY, .alreadyAttached, attach(device, hwpt, 15))
        #expect(try context.attach(device: device, to: hwpt, pasid: nil) == hwpt)
        try context.detach(device: device, pasid: 15)
        try context.detach(device: device, pasid: 15)
        expectRefusal(.EBUSY, .objectInUse) { () throws(IOMMUError) in try context.destroy(object: hwpt) }
        try context.detach(device: device, pasid: nil)
        try context.destroy(object: hwpt)
    }

    @Test func dirtyPagesAreReadWhereNoHoleIs() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 16 * 4096, name: nil, huge: false)
        _ = try context.map(
            ioas: ioas, MapRequest(memory: memory, offset: 0, length: 8 * 4096, iova: 0x10000, access: [.read, .write]))
        let device = try context.bind(deviceNamed: "vfio0").device
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .dirtyTracking))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        try context.setDirtyTracking(hwpt: hwpt, enabled: true)
        bench.kernel.dirty(bench.path("vfio0"), iova: 0x12000)
        func read(_ iova: UInt64, _ length: UInt64) -> DirtyRequest {
            DirtyRequest(iova: iova, length: length, pageSize: 4096, clear: true)
        }
        let found = try context.dirtyBitmap(hwpt: hwpt, read(0x10000, 8 * 4096))
        #expect(found.dirty == 1 && found.bitmap == [0b100])
        expectRefusal(.EINVAL, .notMapped) { () throws(IOMMUError) in
            try context.dirtyBitmap(hwpt: hwpt, read(0x10000, 9 * 4096))
        }
        expectRefusal(.EINVAL, .misaligned) { () throws(IOMMUError) in
            try context.dirtyBitmap(hwpt: hwpt, read(0x10800, 4096))
        }
    }

    @Test func faultsAreDeliveredAndAnswered() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let device = try context.bind(deviceNamed: "vfio0").device
        let queue = try context.allocateFaultQueue()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: queue))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        #expect(bench.kernel.fault(bench.path("vfio0"), address: 0x5000, last: false))
        #expect(bench.kernel.fault(bench.path("vfio0"), address: 0x6000))
        try bench.work.turn { bench.events.contains { $0.kind == .fault } }
        let event = try #require(bench.events.first { $0.kind == .fault })
        #expect(event.context == context.id && event.device == "vfio0")
        expectRefusal(.EINVAL, .groupDoesNotFit) { () throws(IOMMUError) in try context.readFaults(queue, max: 1) }
        let faults = try context.readFaults(queue, max: 64)
        #expect(faults.map(\.address) == [0x5000, 0x6000] && faults.map(\.last) == [false, true])
        let cookie = try #require(faults.last?.cookie)
        #expect(try context.respond(fault: queue, [FaultResponse(cookie: cookie, success: true)]) == 1)
        #expect(bench.kernel.responses.map(\.cookie) == [cookie])
        #expect(bench.kernel.fault(bench.path("vfio0"), address: 0x7000))
        try bench.work.turn { bench.events.count { $0.kind == .fault } == 2 }
        try context.detach(device: device, pasid: nil)
        #expect(try context.readFaults(queue, max: 64).isEmpty, "the kernel has answered it")
        try context.destroy(object: hwpt)
        try context.destroy(object: queue)
    }

    @Test func aGuestHasItsSliceOfAnSMMU() throws {
        let bench = try KernelBench()
        let context = bench.context()
        let ioas = try context.allocateIOAS()
        let device = try context.bind(deviceNamed: "vfio0").device
        let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        let viommu = try context.allocateVIOMMU(device: device, hwpt: parent, type: "arm_smmuv3")
        let vdevice = try context.allocateVDevice(viommu: viommu, device: device, virtualID: 0x42)
        let queue = try context.allocateVEventQueue(viommu: viommu, type: "arm_smmuv3", depth: 8)
        let nested = try context.allocateHWPT(HWPTRequest(device: device, pt: viommu, vste: (0xb, 0)))
        _ = try context.attach(device: device, to: nested, pasid: nil)
        #expect(try context.invalidate(target: viommu, type: "arm_smmuv3", entries: [(0x11, 0), (0x30, 0)]) == 2)
        let error = refusal { () throws(IOMMUError) in
            try context.invalidate(target: viommu, type: "arm_smmuv3", entries: [(0x11, 0), (0x46, 0)])
        }
        #expect(error?.reason == .badCommand && error?.members.contains(.init("handled", .number(1))) == true)
        #expect(bench.kernel.event(bench.path("vfio0"), [0x42 << 32 | 0x10, 1, 2, 3], sequence: 0))
        #expect(bench.kernel.event(bench.path("vfio0"), nil, sequence: 1))
        try bench.work.turn { bench.events.count { $0.kind == .veventq } == 2 }
        #expect(bench.events.first { $0.kind == .veventq }?.device == "vfio0")
        let events = try context.readVirtualEvents(queue, max: 8)
        #expect(events.map(\.lost) == [false, true] && events.first?.record == [0x42 << 32 | 0x10, 1, 2, 3])
        expectRefusal(.EBUSY, .objectInUse) { () throws(IOMMUError) in try context.destroy(object: viommu) }
        try context.unbind(device: device)
        expectRefusal(.ENOENT, .unknownObject) { () throws(IOMMUError) in try context.destroy(object: vdevice) }
        try bench.work.value(context.beginClose())
        #expect(context.isEmpty && bench.kernel.contextCount == 0)
    }
}
