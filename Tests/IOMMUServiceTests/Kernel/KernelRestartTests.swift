import Glibc
import IOMMU
import JSONRPC
import KernelIOMMU
import KernelTestSupport
import TestSupport
import Testing

@testable import IOMMUService

/// Named sessions over a kernel: what is in it stays there, and the daemon knows it again.
@Suite struct KernelRestartTests {
    private let kept: KernelKeeping
    private var keeping: KeepingBench { kept.keeping }

    init() throws { kept = try KernelKeeping() }

    /// Everything that has a descriptor, a table or a tombstone.
    private let everything = """
        memory.create {"size":1048576}
        ioas.alloc {}
        ioas.map {"ioas":1,"memory":1,"length":"0x100000","iova":"0x4000000"}
        device.bind {"name":"vfio0"}
        device.bind {"name":"vfio1"}
        fault.alloc {}
        hwpt.alloc {"device":2,"pt":1,"flags":["nest_parent"]}
        viommu.alloc {"device":2,"hwpt":5,"type":"arm_smmuv3"}
        vdevice.alloc {"viommu":6,"device":2,"virt_id":7}
        vdevice.alloc {"viommu":6,"device":3,"virt_id":8}
        veventq.alloc {"viommu":6,"type":"arm_smmuv3","depth":64}
        hwpt.alloc {"device":2,"pt":1,"flags":["dirty_tracking","pasid"],"fault":4}
        hwpt.set_dirty_tracking {"hwpt":10,"enable":true}
        device.attach {"device":2,"pt":10}
        device.attach {"device":2,"pt":10,"pasid":9}
        device.unbind {"device":3}
        device.bind {"name":"vfio2"}
        ioas.alloc {}
        ioas.set_option {"ioas":11,"huge_pages":false}
        ioas.copy {"src_ioas":1,"src_iova":67108864,"length":8192,"dst_ioas":11,"dst_iova":4096,"access":["read"]}
        device.attach {"device":3,"pt":11}
        """

    private func run(_ script: String, on client: PlayedClient) throws {
        for line in script.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            try kept.call(client, String(words[0]), String(words[1]))
        }
    }

    private func restart() throws -> (before: String, after: String) {
        keeping.endTurn()
        let before = try keeping.state
        #expect(try kept.books == kept.kernel.contents)
        try keeping.restart()
        #expect(try kept.books == kept.kernel.contents)
        return (before, try keeping.state)
    }

    @Test func everythingIsAsItWas() throws {
        let client = try kept.connect("vm")
        #expect(try kept.call(client, "daemon.info")["durable"]?.stringValue == "full")
        try run(everything, on: client)
        let calls = kept.kernel.log.count
        for compact in [false, true] {
            if compact {
                keeping.keeper.beginCompaction()
                try kept.turn { keeping.keeper.journal?.isCompacting == false }
            }
            let (before, after) = try restart()
            let difference = KeepingBench.difference(before, after)
            #expect(difference == nil, "compacted \(compact): \(difference ?? "")")
        }
        // What devices do goes on: the kernel was told of nothing that is not a question.
        let asked = Set(kept.kernel.log[calls...])
        #expect(asked.isSubset(of: [0x3b8a, 0x3b92, 0x3b84] + probes), "\(asked)")
        #expect(!kept.kernel.isBlocked("/dev/vfio/devices/vfio0"))
    }

    /// With which each daemon looks what the kernel can do; they are refused.
    private let probes: Set<UInt> = [0x3b8f, 0x3b8b, 0x3b8e, 0x3b90]

    @Test func theSessionGoesOn() throws {
        let client = try kept.connect("vm")
        try run(everything, on: client)
        try keeping.restart()
        let again = try kept.connect("vm")
        try again.expect(EBUSY, "already_bound", "device.bind", #"{"name":"vfio0"}"#)
        let other = try keeping.bench.connect()
        let refused = try kept.answer(other, "device.bind", #"{"name":"vfio0"}"#)
        #expect(refused["error"]?["data"]?["reason"]?.stringValue == "group_owned_elsewhere")
        // All pages count as written, once.
        let bitmap = #"{"hwpt":10,"iova":"0x4000000","length":"0x100000","page_size":4096}"#
        #expect(try kept.call(again, "hwpt.get_dirty_bitmap", bitmap)["dirty"]?.intValue == 256)
        kept.kernel.dirty("/dev/vfio/devices/vfio0", iova: 0x400_1000)
        #expect(try kept.call(again, "hwpt.get_dirty_bitmap", bitmap)["dirty"]?.intValue == 1)
        let events = try kept.call(again, "veventq.read", #"{"veventq":9}"#)["events"]?.arrayValue
        #expect(events?.first?["lost"]?.boolValue == true)
        // What the queues bring is heard again.
        #expect(kept.kernel.fault("/dev/vfio/devices/vfio0", address: 0x5000))
        let faults = try kept.call(again, "fault.read", #"{"fault":4}"#)["faults"]?.arrayValue
        #expect(faults?.first?["addr"]?.stringValue == "0x5000")
        // Ids go on where they were; that of the vdevice without a device is not given again.
        let ioas = try kept.call(again, "ioas.alloc")["ioas"]?.intValue
        #expect(ioas == 13)
        #expect(
            try kept.call(again, "ioas.unmap", #"{"ioas":1,"iova":0,"length":"0xffffffffffffffff"}"#)["unmapped"] != nil
        )
        #expect(try kept.books == kept.kernel.contents)
    }

    @Test func whatIsGivenUpIsGivenBack() throws {
        let client = try kept.connect("vm")
        try run(everything, on: client)
        let stored = keeping.manager.store.count
        try kept.call(client, "device.unbind", #"{"device":3}"#)
        #expect(keeping.manager.store.count == stored - 1)
        #expect(try kept.call(client, "device.bind", #"{"name":"vfio2"}"#)["device"]?.intValue == 3)
        // A queue is destroyed although its descriptor was kept.
        let other = try kept.call(client, "fault.alloc")["fault"]?.intValue ?? 0
        try kept.call(client, "object.destroy", #"{"id":\#(other)}"#)
        #expect(try kept.books == kept.kernel.contents)
        try kept.call(client, "session.close")
        #expect(keeping.manager.store.count == 0 && kept.kernel.contextCount == 0)
        try keeping.restart()
        #expect(try kept.books.isEmpty && kept.kernel.contextCount == 0)
        let late = try kept.connect("vm")
        try kept.call(late, "device.bind", #"{"name":"vfio0"}"#)
    }

    @Test func withoutTheIOMMUFDOnlyMemoryIsLeft() throws {
        let client = try kept.connect("vm")
        try run(everything, on: client)
        keeping.endTurn()
        keeping.manager.store.lose("iommud-1")
        try keeping.restart()
        let again = try kept.connect("vm")
        let objects = try kept.call(again, "session.objects")["objects"]?.arrayValue
        #expect(objects?.compactMap { $0["kind"]?.stringValue } == ["memory"])
        #expect(try kept.call(again, "ioas.alloc")["ioas"]?.intValue == 1)
        try kept.call(again, "ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":4096}"#)
        let (before, after) = try restart()
        #expect(before == after)
    }

    @Test func aDeviceWithoutItsDescriptorIsGone() throws {
        let client = try kept.connect("vm")
        try run(
            """
            ioas.alloc {}
            device.bind {"name":"vfio0"}
            device.bind {"name":"vfio1"}
            device.attach {"device":2,"pt":1}
            device.attach {"device":3,"pt":1}
            """, on: client)
        keeping.endTurn()
        keeping.manager.store.lose("iommud-2")
        try keeping.restart()
        let again = try kept.connect("vm")
        #expect(try kept.books == kept.kernel.contents)
        #expect(try kept.call(again, "device.bind", #"{"name":"vfio0"}"#)["device"]?.intValue == 2)
    }

    @Test func aDelegatedSessionStaysDelegated() throws {
        let client = try kept.connect("vm")
        try kept.call(client, "fd.export", #"{"names":["vfio0"]}"#)
        try keeping.restart()
        let again = try kept.connect("vm")
        try again.expect(EBUSY, "delegated", "ioas.alloc", "{}")
        let other = try keeping.bench.connect()
        try other.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"vfio0"}"#)
        let exporter = try kept.connect("exporter")
        try kept.call(exporter, "device.bind", #"{"name":"vfio1"}"#)
        try kept.call(exporter, "device.export", #"{"device":1}"#)
        keeping.endTurn()
        try keeping.restart()
        try kept.connect("exporter").expect(EBUSY, "exported", "device.unbind", #"{"device":1}"#)
    }

    // MARK: Where nothing is kept

    @Test(arguments: [(0, KernelVersion(7, 2)), (64, KernelVersion(6, 12))])
    func withoutAStoreOrFileMappingsNothingIsPromised(_ store: Int, _ release: KernelVersion) throws {
        let kept = try KernelKeeping(release: release, store: store)
        let client = try kept.connect("vm")
        #expect(try kept.call(client, "daemon.info")["durable"]?.stringValue == "none")
        try kept.call(client, "ioas.alloc")
        try kept.keeping.restart()
        #expect(kept.kernel.contextCount == 0)
    }

    @Test func aStoreThatIsFullRefusesBeforeAnythingIsPromised() throws {
        let kept = try KernelKeeping(store: 2) { $0.limits.storedDescriptorsPerUID = 2 }
        let client = try kept.connect("vm")
        try kept.call(client, "device.bind", #"{"name":"vfio0"}"#)
        for (method, params) in [("device.bind", #"{"name":"vfio1"}"#), ("fault.alloc", "{}")] {
            let refused = try kept.answer(client, method, params)
            #expect(refused["error"]?["data"]?["reason"]?.stringValue == "quota_exceeded")
        }
        let other = try kept.keeping.bench.connect()
        let refused = try kept.answer(other, "session.attach", #"{"name":"other"}"#)
        #expect(refused["error"]?["data"]?["reason"]?.stringValue == "quota_exceeded")
        try kept.turn { kept.kernel.contextCount == 1 }
        #expect(try kept.books == kept.kernel.contents)
        #expect(kept.keeping.service.sessions.namedCount == 1, "the session is not there")
    }

    @Test func aManagerThatDoesNotAnswerRefuses() throws {
        let client = try kept.connect("vm")
        try run(
            """
            ioas.alloc {}
            device.bind {"name":"vfio0"}
            hwpt.alloc {"device":2,"pt":1,"flags":["nest_parent"]}
            viommu.alloc {"device":2,"hwpt":3,"type":"arm_smmuv3"}
            """, on: client)
        let other = try keeping.bench.connect()
        for (client, method, params) in [
            (client, "device.bind", #"{"name":"vfio1"}"#), (client, "fault.alloc", "{}"),
            (client, "veventq.alloc", #"{"viommu":4,"type":"arm_smmuv3","depth":4}"#),
            (other, "session.attach", #"{"name":"other"}"#),
        ] {
            (keeping.manager.refusal, keeping.manager.refusals) = (ECONNREFUSED, 1)
            let refused = try kept.answer(client, method, params)
            #expect(refused["error"]?["data"]?["reason"]?.stringValue == "descriptor_not_stored", "\(method)")
        }
        (keeping.manager.refusal, keeping.manager.refusals) = (nil, 0)
        try kept.turn { kept.kernel.contextCount == 1 }
        #expect(try kept.books == kept.kernel.contents)
    }

    @Test(arguments: [
        (ENOENT, "no_iommufd"), (EACCES, "node_forbidden"), (EMFILE, "no_descriptors"),
    ])
    func aNamedSessionNeedsItsIOMMUFD(_ errno: Int32, _ reason: String) throws {
        kept.kernel.failOpening(KernelBackend.node, with: errno)
        let client = try keeping.bench.connect()
        let refused = try kept.answer(client, "session.attach", #"{"name":"vm"}"#)
        #expect(refused["error"]?["data"]?["reason"]?.stringValue == reason)
        kept.kernel.failOpening(KernelBackend.node, with: nil)
        try kept.call(client, "session.attach", #"{"name":"vm"}"#)
    }
}
