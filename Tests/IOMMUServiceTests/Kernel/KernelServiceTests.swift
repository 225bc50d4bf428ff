import BareSMMU
import Glibc
import IOMMU
import JSONRPC
import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Testing

@testable import IOMMUService

/// The contract over a kernel, through the service.
@Suite struct KernelServiceTests {
    private let kernel: FakeKernel
    private let inventory: FakeInventory
    private let bench: ServiceBench

    init() throws {
        var devices = (0..<3).map { FakeDevice("/dev/vfio/devices/vfio\($0)", group: UInt32($0)) }
        devices[0].pasidBits = 4
        devices[2].isViable = false
        kernel = FakeKernel(devices: devices)
        inventory = FakeInventory(devices)
        let work = try LoopWork()
        let backend = try KernelBackend(calls: kernel, inventory: inventory, executor: work)
        backend.equipment = { SMMUModels.equip($0) }
        bench = try ServiceBench(backend: backend, loop: work.loop)
    }

    /// What most cases begin with: ids are the lowest free, as the kernel gives them.
    private let setting = """
        ioas.alloc {}
        memory.create {"size":1048576}
        device.bind {"name":"vfio0"}
        hwpt.alloc {"device":2,"pt":1,"flags":["nest_parent"]}
        viommu.alloc {"device":2,"hwpt":3,"type":"arm_smmuv3"}
        hwpt.alloc {"device":2,"pt":1,"flags":["dirty_tracking"]}
        ioas.map {"ioas":1,"memory":1,"length":4096,"iova":"0x10000"}
        """

    @Test func pagesOfProcessesAreNotMapped() throws {
        try bench.run(
            """
            ioas.alloc {}
            > ioas.map {"ioas":1,"mm":1,"va":4096,"length":4096} EOPNOTSUPP callers_memory_only
            > ioas.map_many {"ioas":1,"mappings":[{"mm":1,"va":4096,"length":4096}]} EOPNOTSUPP callers_memory_only
            """)
    }

    @Test func aMappingThatTakesLongHoldsNobodyElse() throws {
        let (slow, other) = (try bench.connect(), try bench.connect())
        try bench.run("ioas.alloc {}\nmemory.create {\"size\":1048576}", on: slow)
        kernel.hold(IOMMUFD.ioasMapFile.number)
        slow.send("ioas.map", #"{"ioas":1,"memory":1,"length":1048576,"iova":"0x100000"}"#)
        slow.send("ioas.iova_ranges", #"{"ioas":1}"#)
        for _ in 0..<2500 {
            let ioas = try other.id("ioas.alloc", "{}", "ioas")
            #expect(try other.call("ioas.iova_ranges", "{\"ioas\":\(ioas)}")["alignment"]?.intValue == 1)
            try other.call("daemon.info")
            try other.call("object.destroy", "{\"id\":\(ioas)}")
        }
        // A session that ends, and one that is closed, with its iommufd open.
        let third = try bench.connect()
        try third.call("session.attach", #"{"name":"vm"}"#)
        try third.call("ioas.alloc")
        try third.call("session.close", #"{"name":"vm"}"#)
        #expect(!slow.hasLine, "its own session waits, in order")
        kernel.release(IOMMUFD.ioasMapFile.number)
        #expect(try slow.receive()["result"]?["iova"]?.stringValue == "0x100000")
        #expect(try slow.receive()["result"]?["ranges"]?.arrayValue?.count == 1)
    }

    @Test func onlyAdministratorsGetRealDevices() throws {
        let nobody = try bench.connect(uid: 65_000)
        try bench.run(
            """
            > device.bind {"name":"vfio1"} EPERM not_allowed
            ioas.alloc {}
            vsmmu.create {}
            > sva.list {} EOPNOTSUPP no_shared_addressing
            > queue.close {"queue":1} EOPNOTSUPP no_accelerator_queues
            """, on: nobody)
        try bench.run(#"> device.remove {"name":"vfio1"} EOPNOTSUPP no_device_hotplug"#)
    }

    /// What has no IOMMU before it reaches all memory: no rule gives it away.
    @Test func devicesWithoutAnIOMMUAreForAdministrators() throws {
        inventory.devices[1].facts.isNoIOMMU = true
        var configuration = Configuration()
        configuration.access = AccessPolicy(rules: [AccessPolicy.Rule(devices: ["*"])], allowsByDefault: false)
        let work = try LoopWork()
        let bench = try ServiceBench(
            backend: try KernelBackend(calls: kernel, inventory: inventory, executor: work),
            configuration: configuration, loop: work.loop)
        let nobody = try bench.connect(uid: 65_000)
        func names(_ client: PlayedClient) throws -> [String] {
            try client.call("topology.list")["devices"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? []
        }
        #expect(try names(nobody) == ["vfio0", "vfio2"])
        #expect(try names(bench.connect()).contains("vfio1"))
        try bench.run(
            """
            device.bind {"name":"vfio0"}
            > device.bind {"name":"vfio1"} EPERM not_allowed
            """, on: nobody)
        let other = try bench.connect(uid: 65_000)
        try bench.run(
            """
            > fd.export {"names":["vfio1"]} EPERM not_allowed
            > fd.offer {"names":["vfio1"],"format":"kubevirt"} EPERM not_allowed
            """, on: other)
        #expect(try other.call("device.explain", #"{"name":"vfio1"}"#)["viable"]?.boolValue == false)
    }

    @Test(arguments: [
        (ENOENT, "ENODEV no_iommufd"), (EACCES, "EPERM node_forbidden"), (EMFILE, "EMFILE no_descriptors"),
    ])
    func anIOMMUFDThatCannotBeOpenedIsExplained(_ errno: Int32, _ refusal: String) throws {
        kernel.failOpening(KernelBackend.node, with: errno)
        for request in ["ioas.alloc {}", "fault.alloc {}", #"device.bind {"name":"vfio0"}"#] {
            try bench.run("> \(request) \(refusal)")
        }
        kernel.failOpening(KernelBackend.node, with: nil)
        try bench.run("ioas.alloc {}")
    }

    @Test func aQueueTakesADescriptor() throws {
        let client = try bench.connect()
        try bench.run(setting, on: client)
        kernel.fail(IOMMUFD.veventqAlloc.number, with: EMFILE)
        let queue = #"veventq.alloc {"viommu":4,"type":"arm_smmuv3","depth":4}"#
        try bench.run("> \(queue) EMFILE no_descriptors\n\(queue)", on: client)
    }

    @Test func aDeviceThatCannotBeBoundIsExplained() throws {
        try bench.run(#"> device.bind {"name":"vfio2"} EPERM msi_not_isolated"#)
        kernel.failOpening("/dev/vfio/devices/vfio1", with: ENODEV)
        try bench.run(#"> device.bind {"name":"vfio1"} ENODEV device_removed"#)
        inventory.devices[1].facts.cdev = nil
        try bench.run(#"> device.bind {"name":"vfio1"} ENODEV no_vfio_driver"#)
    }

    private static let cases: [(method: String, params: String, call: UInt)] = [
        ("ioas.alloc", "{}", 0x3b81),
        ("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":"0x20000"}"#, 0x3b8f),
        ("ioas.map", #"{"ioas":1,"memory":1,"length":1048576,"iova":"0x100000"}"#, 0x3b8f),
        ("ioas.map_many", #"{"ioas":1,"mappings":[{"memory":1,"length":4096,"iova":"0x20000"}]}"#, 0x3b8f),
        ("ioas.unmap", #"{"ioas":1,"iova":"0x10000","length":4096}"#, 0x3b86),
        ("ioas.copy", #"{"src_ioas":1,"src_iova":"0x10000","length":4096,"dst_ioas":1}"#, 0x3b83),
        ("ioas.iova_ranges", #"{"ioas":1}"#, 0x3b84),
        ("ioas.allow_iovas", #"{"ioas":1,"ranges":[{"start":0,"last":"0xffff"}]}"#, 0x3b82),
        ("ioas.set_option", #"{"ioas":1,"huge_pages":true}"#, 0x3b87),
        ("device.bind", #"{"name":"vfio1"}"#, 0x3b76),
        ("device.hw_info", #"{"device":2}"#, 0x3b8a),
        ("device.attach", #"{"device":2,"pt":1}"#, 0x3b77),
        ("device.replace", #"{"device":2,"pt":1}"#, 0x3b77),
        ("device.detach", #"{"device":2}"#, 0x3b78),
        ("hwpt.alloc", #"{"device":2,"pt":1}"#, 0x3b89),
        ("hwpt.set_dirty_tracking", #"{"hwpt":5,"enable":true}"#, 0x3b8b),
        (
            "hwpt.get_dirty_bitmap", #"{"hwpt":5,"iova":"0x10000","length":4096,"page_size":4096}"#, 0x3b8c
        ),
        ("hwpt.invalidate", #"{"target":4,"type":"arm_smmuv3","entries":[[17,0]]}"#, 0x3b8d),
        ("fault.alloc", "{}", 0x3b8e),
        ("viommu.alloc", #"{"device":2,"hwpt":3,"type":"arm_smmuv3"}"#, 0x3b90),
        ("vdevice.alloc", #"{"viommu":4,"device":2,"virt_id":7}"#, 0x3b91),
        ("veventq.alloc", #"{"viommu":4,"type":"arm_smmuv3","depth":4}"#, 0x3b93),
        ("object.destroy", #"{"id":5}"#, 0x3b80),
    ]

    /// What the kernel says, and what clients are told everywhere; nil: it depends on the call.
    private static let errnos: [(said: Int32, errno: String?, reason: String?)] = [
        (ENOTTY, "ENOTTY", "ioctl_missing"), (E2BIG, "EOPNOTSUPP", "kernel_too_old"),
        (ENOMEM, "ENOMEM", "no_table_memory"), (EFAULT, "EIO", "kernel_refused"), (EINVAL, nil, nil),
        (EOPNOTSUPP, nil, nil), (EBUSY, nil, nil),
    ]

    @Test(arguments: cases.indices) func whatTheKernelRefusesHasChangedNothing(_ index: Int) throws {
        let (method, params, call) = Self.cases[index]
        let client = try bench.connect()
        try bench.run(setting, on: client)
        let isAttached = ["device.replace", "device.detach"].contains(method)
        if isAttached { try client.call("device.attach", #"{"device":2,"pt":5}"#) }
        let before = try client.call("session.objects").text
        for (said, errno, reason) in Self.errnos {
            kernel.fail(call, with: said)
            client.send(method, params)
            let data = try client.receive()["error"]?["data"]
            let told = "\(method) \(said): \(data?.text ?? "")"
            #expect(data != nil, "\(told)")
            #expect(errno == nil || data?["errno"]?.stringValue == errno, "\(told)")
            #expect(reason == nil || data?["reason"]?.stringValue == reason, "\(told)")
            if said == EFAULT { #expect(data?["kernel_errno"]?.stringValue == "EFAULT", "\(told)") }
            #expect(try client.call("session.objects").text == before, "\(told)")
        }
        client.send(method, params)
        #expect(try client.receive()["error"] == nil, "once the kernel does it, it is done")
    }
}
