import Glibc
import IOMMU
import JSONRPC
import KernelIOMMU
import KernelTestSupport
import Testing

@testable import IOMMUService

/// Descriptors that the kernel backend hands out.
@Suite struct ExportTests {
    private let kernel: FakeKernel
    private let inventory: FakeInventory
    private let bench: ServiceBench

    init() throws { try self.init { _ in } }

    private init(_ change: (inout Configuration) -> Void) throws {
        let devices = (0..<3).map { FakeDevice("/dev/vfio/devices/vfio\($0)", group: UInt32($0)) }
        kernel = FakeKernel(devices: devices)
        inventory = FakeInventory(devices)
        let work = try LoopWork()
        var configuration = Configuration()
        change(&configuration)
        bench = try ServiceBench(
            backend: try KernelBackend(calls: kernel, inventory: inventory, executor: work),
            configuration: configuration, loop: work.loop)
    }

    @Test func aBoundDeviceIsHandedOutAndBlockedInTheEnd() throws {
        let client = try bench.connect()
        try bench.run(
            """
            ioas.alloc {}
            device.bind {"name":"vfio0"}
            device.attach {"device":2,"pt":1}
            > device.export {"device":1} ENOENT unknown_device
            """, on: client)
        #expect(try client.call("device.export", #"{"device":2}"#)["fds"]?.intValue == 1)
        #expect(!kernel.isBlocked("/dev/vfio/devices/vfio0"))
        try bench.run(
            """
            > device.unbind {"device":2} EBUSY exported
            device.unbind {"device":2,"force":true}
            session.objects {}
            """, on: client)
        #expect(kernel.isBlocked("/dev/vfio/devices/vfio0"), "although a copy of its descriptor is open")
        let other = try client.id("device.bind", #"{"name":"vfio1"}"#, "device")
        inventory.onChange?(DeviceEvent(name: "vfio1", action: .removed))
        try bench.run("> device.export {\"device\":\(other)} ENODEV device_removed", on: client)
    }

    @Test func anIOMMUFDThatIsHandedOutIsNotOursAnyMore() throws {
        let (client, other) = (try bench.connect(), try bench.connect())
        #expect(try client.call("fd.export", #"{"names":["vfio1"]}"#)["fds"]?.intValue == 2)
        try bench.run(
            """
            > ioas.alloc {} EBUSY delegated
            > fault.alloc {} EBUSY delegated
            > device.bind {"name":"vfio0"} EBUSY delegated
            > fd.export {"names":[]} EBUSY delegated
            > fd.offer {"names":[],"format":"kubevirt"} EBUSY delegated
            > session.attach {"name":"vm"} EBUSY delegated
            memory.create {"size":4096}
            """, on: client)
        try bench.run(
            """
            > device.bind {"name":"vfio1"} EBUSY group_owned_elsewhere
            > fd.export {"names":["vfio1"]} EBUSY group_owned_elsewhere
            > fd.export {"names":["vfio9"]} ENODEV unknown_device
            > fd.offer {"names":["vfio1"],"format":"kubevirt"} EBUSY group_owned_elsewhere
            > fd.offer {"names":["vfio9"],"format":"kubevirt"} ENODEV unknown_device
            ioas.alloc {}
            > fd.export {"names":[]} EBUSY session_not_empty
            """, on: other)
    }

    @Test(arguments: [
        (ENOENT, "ENODEV no_iommufd"), (EACCES, "EPERM node_forbidden"), (EMFILE, "EMFILE no_descriptors"),
    ])
    func withoutAnIOMMUFDNothingIsHandedOut(_ errno: Int32, _ refusal: String) throws {
        kernel.failOpening(KernelBackend.node, with: errno)
        try bench.run(
            """
            > fd.export {"names":[]} \(refusal)
            > fd.offer {"names":[],"format":"kubevirt"} \(refusal)
            """)
    }

    @Test func devicesThatCannotBeOpenedAreNotHandedOut() throws {
        kernel.failOpening("/dev/vfio/devices/vfio1", with: ENODEV)
        inventory.devices[2].facts.cdev = nil
        let client = try bench.connect()
        try bench.run(
            """
            > fd.export {"names":["vfio0","vfio1"]} ENODEV device_removed
            > fd.export {"names":["vfio2"]} ENODEV no_vfio_driver
            ioas.alloc {}
            device.bind {"name":"vfio0"}
            """, on: client)
    }

    @Test func anIOMMUFDCountsAgainstItsUser() throws {
        let few = try ExportTests { $0.limits.descriptors = 1 }
        try few.bench.run("> fd.export {\"names\":[]} EDQUOT quota_exceeded")
    }
}
