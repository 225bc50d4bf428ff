import CLinux
import EmulatedIOMMU
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import TestSupport
import Testing

@testable import IOMMUService

/// No user who is not an administrator takes all of what there is only so much of for everybody.
@Suite struct ShareTests {
    private static let uid: UInt32 = 1000

    /// A machine with few tags.
    private func configuration() -> Configuration {
        var configuration = Configuration()
        for index in configuration.topology.smmus.indices {
            configuration.topology.smmus[index].asidBits = 8
            configuration.topology.smmus[index].vmidBits = 8
        }
        return configuration
    }

    /// Calls until it is refused. - Returns: how often it was not, and the refusal.
    private func exhaust(_ limit: Int = 5000, _ body: (Int) throws -> Void) -> (count: Int, error: RPCError?) {
        for count in 0..<limit {
            do { try body(count) } catch { return (count, error as? RPCError) }
        }
        return (limit, nil)
    }

    private func expectShare(_ error: RPCError?, limit: Int) {
        #expect(error?.code == -Int(EDQUOT) && error?.reason == "quota_exceeded")
        #expect(error?.detail("key")?.stringValue == "limits.share", "\(error?.message ?? "")")
        #expect(error?.detail("limit")?.intValue == limit && error?.hint?.contains("limits.share") == true)
    }

    /// A session with a device of smmu0 and an IOAS.
    private func guest(_ bench: ServiceBench, uid: UInt32, _ name: String) throws -> (PlayedClient, hwpt: String) {
        let client = try bench.connect(uid: uid)
        let device = try client.id("device.bind", #"{"name":"\#(name)"}"#, "device")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        return (client, #""device":\#(device),"pt":\#(ioas)"#)
    }

    @Test func tags() throws {
        let bench = try ServiceBench { $0 = configuration() }
        let (one, mine) = try guest(bench, uid: Self.uid, "0000:01:00.0")
        let asids = exhaust { _ in try one.call("hwpt.alloc", "{\(mine)}") }
        #expect(asids.count == 127)
        expectShare(asids.error, limit: 127)
        let vmids = exhaust { _ in try one.call("hwpt.alloc", #"{\#(mine),"flags":["nest_parent"]}"#) }
        #expect(vmids.count == 127)
        expectShare(vmids.error, limit: 127)
        // What is given back can be had again, and others have theirs.
        try one.call("object.destroy", #"{"id":\#(try one.lastHWPT())}"#)
        try one.call("hwpt.alloc", #"{\#(mine),"flags":["nest_parent"]}"#)
        let (two, theirs) = try guest(bench, uid: 1001, "0000:03:00.0")
        #expect(exhaust { _ in try two.call("hwpt.alloc", "{\(theirs)}") }.count == 127)
        // Administrators reach the end.
        let (root, its) = try guest(bench, uid: 0, "0000:05:00.0")
        let rest = exhaust { _ in try root.call("hwpt.alloc", "{\(its)}") }
        #expect(rest.count == 1 && rest.error?.code == -Int(ENOSPC) && rest.error?.reason == "asid_exhausted")
        one.disconnect()
        #expect(exhaust { _ in try root.call("hwpt.alloc", "{\(its)}") }.count == 127)
    }

    @Test func figuresSayWhoHoldsWhat() throws {
        let bench = try ServiceBench { $0 = configuration() }
        let (one, mine) = try guest(bench, uid: Self.uid, "0000:01:00.0")
        try one.call("hwpt.alloc", "{\(mine)}")
        let root = try bench.connect(uid: 0)
        try root.call("memory.create", #"{"size":4096}"#)
        let own = try one.call("daemon.stats")["pools"]?.arrayValue ?? []
        #expect(own.allSatisfy { $0["uid"]?.intValue == Int(Self.uid) })
        let asids = try #require(own.first { $0["pool"]?.stringValue == "ASIDs of smmu0" })
        #expect(asids["used"]?.intValue == 1 && asids["limit"]?.intValue == 127 && asids["capacity"]?.intValue == 255)
        let all = try root.call("daemon.stats")["pools"]?.arrayValue ?? []
        let windows = all.first { $0["uid"]?.intValue == 0 && $0["pool"]?.stringValue == "physical addresses" }
        #expect(windows?["used"]?.intValue == 4096 && windows?["limit"] == nil)
        #expect(all.contains { $0["uid"]?.intValue == Int(Self.uid) })
        let page = MetricsPage.render(bench.service.metrics.read(), as: .text)
        #expect(page.contains(#"iommud_pool_used{pool="ASIDs of smmu0",uid="1000"} 1"#))
        #expect(page.contains(#"iommud_pool_capacity{pool="ASIDs of smmu0"} 255"#))
    }

    @Test func physicalAddresses() throws {
        let bench = try ServiceBench()
        let one = try bench.connect(uid: Self.uid)
        let memory = Descriptor(adopting: clinux_memfd_create("large", false))
        try #require(ftruncate(memory.number, 4 << 40) == 0)
        let taken = exhaust { _ in try one.call("memory.import", "{}", descriptors: [memory.number]) }
        #expect(taken.count == 1)
        #expect(taken.error?.detail("key")?.stringValue == "limits.share")
        try bench.connect(uid: 1001).call("memory.create", #"{"size":4096}"#)
        let root = try bench.connect(uid: 0)
        let rest = exhaust { _ in try root.call("memory.import", "{}", descriptors: [memory.number]) }
        #expect(rest.count == 2 && rest.error?.reason == "no_physical_space")
    }

    @Test func memoryForTables() throws {
        let executor = StepExecutor()
        let backend = try EmulatedBackend(
            topology: .laboratory, executor: executor, tableSpace: TableSpace.smallest)
        let bench = try ServiceBench(backend: backend, executor: executor)
        let (one, mine) = try guest(bench, uid: Self.uid, "0000:01:00.0")
        try one.call("memory.create", #"{"size":4096}"#)
        try one.call("device.attach", "{\(mine)}")
        func map(_ client: PlayedClient, _ page: Int) throws {
            try client.call("ioas.map", #"{"ioas":2,"memory":1,"length":4096,"iova":"0x\#(hex((page + 1) << 30))"}"#)
        }
        let taken = exhaust { try map(one, $0) }
        expectShare(taken.error, limit: Int(TableSpace.smallest / 2))
        #expect(taken.count > 500)
        let (two, theirs) = try guest(bench, uid: 1001, "0000:03:00.0")
        try two.call("memory.create", #"{"size":4096}"#)
        try two.call("device.attach", "{\(theirs)}")
        for page in 0..<100 { try map(two, page) }
        // Unmapping gives back, the end of the session all.
        try one.call("ioas.unmap", #"{"ioas":2,"iova":0,"length":"0xffffffffffffffff"}"#)
        try map(one, 0)
        one.disconnect()
        let shares = bench.service.sessions.poolShares.filter { $0.uid == Self.uid }
        #expect(shares.allSatisfy { $0.used == 0 })
    }

    /// Lowest first; of those below each width a share, then one above it where the device has it.
    @Test func pasids() throws {
        let bench = try ServiceBench()
        let one = try bench.connect(uid: Self.uid)
        let wide = try one.id("device.bind", #"{"name":"0000:05:00.0"}"#, "device")
        let narrow = try one.id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
        func bind(_ client: PlayedClient, _ device: Int) throws -> (mm: Int, pasid: Int) {
            let mm = try client.id("mm.create", "{}", "mm")
            return (mm, try client.id("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#, "pasid"))
        }
        for pasid in 1...127 { #expect(try bind(one, wide).pasid == pasid) }
        let full = exhaust { _ in _ = try bind(one, narrow) }
        #expect(full.count == 0)
        expectShare(full.error, limit: 127)
        #expect(try bind(one, wide).pasid == 256)
        for pasid in 257..<640 { #expect(try bind(one, wide).pasid == pasid) }
        #expect(try bind(one, wide).pasid == 1024)
        // Another user has the low ones that are left.
        let two = try bench.connect(uid: 1001)
        let device = try two.id("device.bind", #"{"name":"uacce0"}"#, "device")
        for pasid in 128..<255 { #expect(try bind(two, device).pasid == pasid) }
        expectShare(exhaust { _ in _ = try bind(two, device) }.error, limit: 127)
        // The last is an administrator's.
        let root = try bench.connect(uid: 0)
        let other = try root.id("device.bind", #"{"name":"0001:01:00.0"}"#, "device")
        #expect(try bind(root, other).pasid == 255)
    }

    @Test func placesForStalls() throws {
        let executor = StepExecutor()
        let backend = try EmulatedBackend(topology: .laboratory, executor: executor)
        let bench = try ServiceBench(backend: backend, executor: executor)
        var clients: [PlayedClient] = []
        func stallAll(uid: UInt32, _ name: String, _ count: Int) throws -> [RPCError] {
            let owner = try bench.connect(uid: uid)
            clients.append(owner)
            try owner.call("session.attach", #"{"name":"s"}"#)
            let device = try owner.id("device.bind", #"{"name":"\#(name)"}"#, "device")
            let ioas = try owner.id("ioas.alloc", "{}", "ioas")
            let fault = try owner.id("fault.alloc", "{}", "fault")
            let hwpt = try owner.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"fault":\#(fault)}"#, "hwpt")
            try owner.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
            var refused: [RPCError] = []
            for page in 0..<count {
                let client = try bench.connect(uid: uid)
                clients.append(client)
                try client.call("session.attach", #"{"name":"s"}"#)
                let params = #"{"device":\#(device),"iova":\#(page << 12),"length":8}"#
                if let error = try client.answer("dma.read", params)?["error"] {
                    refused.append(RPCError(reply: error))
                }
            }
            return refused
        }
        let capacity = backend.smmus[0].smmu.stallCapacity
        let refused = try stallAll(uid: Self.uid, "0000:03:00.0", capacity / 2 + 3)
        #expect(refused.count == 3)
        expectShare(refused.first, limit: capacity / 2)
        #expect(try stallAll(uid: 1001, "0000:05:00.0", capacity / 8).isEmpty)
    }

    private func hex(_ value: Int) -> String { String(value, radix: 16) }
}

extension PlayedClient {
    /// The id of the hwpt made last.
    fileprivate func lastHWPT() throws -> Int {
        let objects = try call("session.objects")["objects"]?.arrayValue ?? []
        return objects.filter { $0["kind"]?.stringValue == "hwpt" }.compactMap { $0["id"]?.intValue }.max() ?? 0
    }
}
