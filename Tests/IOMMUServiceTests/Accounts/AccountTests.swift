import CLinux
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import TestSupport
import Testing

@testable import IOMMUService

/// What clients make the daemon hold is on their user's account, and given back with what it was for.
@Suite struct AccountTests {
    private static let uid: UInt32 = 1000

    private func bench(_ change: (inout LimitsConfiguration) -> Void) throws -> ServiceBench {
        try ServiceBench { change(&$0.limits) }
    }

    private func used(_ bench: ServiceBench, _ resource: Account.Resource) -> UInt64 {
        bench.service.sessions.all.first { $0.owner.uid == Self.uid }?.account.used(resource) ?? 0
    }

    private func expectFull(_ key: String, _ error: RPCError) {
        #expect(error.code == -Int(EDQUOT) && error.reason == "quota_exceeded", "\(error.message)")
        #expect(error.details.first { $0.key == "key" }?.value == .string("limits.\(key)"))
        #expect(
            error.details.contains { $0.key == "limit" } && error.details.contains { $0.key == "used" })
    }

    @Test func allowedRanges() throws {
        let bench = try bench { $0.mappings = 3 }
        let client = try bench.connect(uid: Self.uid)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        func allow(_ count: Int) -> String {
            let ranges = (0..<count).map { #"{"start":\#($0 << 20),"last":\#(($0 << 20) + 4095)}"# }
            return #"{"ioas":\#(ioas),"ranges":[\#(ranges.joined(separator: ","))]}"#
        }
        try client.call("ioas.allow_iovas", allow(3))
        expectFull("mappings", try client.refusal("ioas.allow_iovas", allow(4)))
        try client.call("ioas.allow_iovas", allow(2))
        #expect(used(bench, .mappings) == 2)
        // A list that is refused changes nothing.
        let bad =
            #"{"ioas":\#(ioas),"ranges":[{"start":0,"last":9},{"start":5,"last":12},{"start":20,"last":30}]}"#
        try client.expect(EINVAL, "bad_allowed_ranges", "ioas.allow_iovas", bad)
        #expect(used(bench, .mappings) == 2)
        try client.call("object.destroy", #"{"id":\#(ioas)}"#)
        #expect(used(bench, .mappings) == 0)
    }

    @Test func areasOfAddressSpaces() throws {
        let bench = try bench { $0.mappings = 3 }
        let client = try bench.connect(uid: Self.uid)
        let memory = try client.id("memory.create", #"{"size":1048576}"#, "memory")
        let mm = try client.id("mm.create", "{}", "mm")
        func map(_ va: UInt64, pages: UInt64 = 1) -> String {
            #"{"mm":\#(mm),"memory":\#(memory),"offset":0,"va":\#(va),"length":\#(pages << 12)}"#
        }
        try client.call("mm.map", map(0x10_0000, pages: 4))
        for index in [1, 2] as [UInt64] { try client.call("mm.map", map(0x10_0000 &+ index &<< 20)) }
        #expect(used(bench, .mappings) == 3)
        expectFull("mappings", try client.refusal("mm.map", map(0x80_0000)))
        // What would be two areas needs room, too.
        let middle = #"{"mm":\#(mm),"va":\#(0x10_1000),"length":4096}"#
        expectFull("mappings", try client.refusal("mm.unmap", middle))
        try client.call("mm.unmap", #"{"mm":\#(mm),"va":\#(0x20_0000),"length":4096}"#)
        #expect(used(bench, .mappings) == 2)
        try client.call("mm.unmap", middle)
        #expect(used(bench, .mappings) == 3)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
        #expect(used(bench, .mappings) == 0)
    }

    @Test func rangesOfGuests() throws {
        let bench = try bench { $0.mappings = 2 }
        let client = try bench.connect(uid: Self.uid)
        let memory = try client.id("memory.create", #"{"size":1048576}"#, "memory")
        let vsmmu = try client.id("vsmmu.create", "{}", "vsmmu")
        func map(_ gpa: UInt64) -> String {
            #"{"vsmmu":\#(vsmmu),"memory":\#(memory),"offset":0,"length":4096,"gpa":\#(gpa)}"#
        }
        try client.call("vsmmu.memory", map(0x1000))
        try client.expect(EEXIST, "gpa_in_use", "vsmmu.memory", map(0x1000))
        try client.call("vsmmu.memory", map(0x2000))
        #expect(used(bench, .mappings) == 2)
        expectFull("mappings", try client.refusal("vsmmu.memory", map(0x3000)))
        try client.call("vsmmu.unmap_memory", #"{"vsmmu":\#(vsmmu),"gpa":4096}"#)
        try client.call("vsmmu.memory", map(0x3000))
        try client.call("vsmmu.destroy", #"{"vsmmu":\#(vsmmu)}"#)
        #expect(used(bench, .mappings) == 0)
    }

    @Test func eventfds() throws {
        // The connection is one.
        let bench = try bench { $0.descriptors = 3 }
        let client = try bench.connect(uid: Self.uid)
        let vsmmu = try client.id("vsmmu.create", "{}", "vsmmu")
        let signal = Descriptor(adopting: eventfd(0, Int32(EFD_CLOEXEC)))
        func set(_ name: String) throws {
            try client.call(
                "vsmmu.set_irq", #"{"vsmmu":\#(vsmmu),"irq":"\#(name)"}"#, descriptors: [signal.number])
        }
        try set("evtq")
        try set("evtq")
        try set("gerror")
        #expect(used(bench, .descriptors) == 3)
        let error = try client.refusal(
            "vsmmu.set_irq", #"{"vsmmu":\#(vsmmu),"irq":"priq"}"#, descriptors: [signal.number])
        #expect(error.code == -Int(EDQUOT) && error.reason == "quota_exceeded")
        try client.call("vsmmu.set_irq", #"{"vsmmu":\#(vsmmu),"irq":"evtq","enable":false}"#)
        #expect(used(bench, .descriptors) == 2)
        try client.call("vsmmu.destroy", #"{"vsmmu":\#(vsmmu)}"#)
        #expect(used(bench, .descriptors) == 1)
    }

    private func blocks(_ memory: SharedMemory) -> Int {
        var status = stat()
        return fstat(memory.descriptor, &status) == 0 ? Int(status.st_blocks) : -1
    }

    /// Reading makes no pages of a client's holes; writing does, and they are the session's.
    @Test(arguments: [0, CLINUX_SEAL_SHRINK | CLINUX_SEAL_GROW])
    func holesOfImportedMemory(seals: Int32) throws {
        let bench = try bench { $0.memoryBytes = 3 << 12 }
        let client = try bench.connect(uid: Self.uid)
        let shared = try SharedMemory(size: 1 << 20, seals: seals)
        let memory = try client.importMemory(shared)
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":1048576,"iova":0}"#)
        try client.call("memory.read", #"{"memory":\#(memory),"offset":0,"length":524288}"#)
        try client.call("dma.read", #"{"device":\#(device),"iova":524288,"length":524288}"#)
        #expect(blocks(shared) == 0 && used(bench, .memoryBytes) == 0)
        func write(_ page: Int) -> String {
            #"{"device":\#(device),"iova":\#(page << 12),"data":"AAAA"}"#
        }
        // What the client has made itself costs nothing.
        shared.setWord(9 << 12, 7)
        try client.call("dma.write", write(9))
        #expect(used(bench, .memoryBytes) == 0)
        for _ in 0..<2 { try client.call("dma.write", write(1)) }
        try client.call("memory.write", #"{"memory":\#(memory),"offset":8190,"data":"AAAA"}"#)
        #expect(used(bench, .memoryBytes) == 2 << 12)
        try client.call("dma.write", write(3))
        expectFull("memory_bytes", try client.refusal("dma.write", write(4)))
        expectFull(
            "memory_bytes",
            try client.refusal("memory.write", #"{"memory":\#(memory),"offset":16384,"data":"AAAA"}"#))
        let vsmmu = try client.id("vsmmu.create", "{}", "vsmmu")
        expectFull(
            "memory_bytes",
            try client.refusal("vsmmu.save", #"{"vsmmu":\#(vsmmu),"memory":\#(memory),"offset":16384}"#))
        #expect(blocks(shared) == 4 * 8)
        try client.call("ioas.unmap", #"{"ioas":\#(ioas),"iova":0,"length":1048576}"#)
        try client.call("memory.close", #"{"memory":\#(memory)}"#)
        #expect(used(bench, .memoryBytes) == 0)
    }

    @Test func eventsThatWait() throws {
        let account = Account(uid: 1, limits: [.waitingEvents: 3])
        let sink = ClosedSink()
        let first = Subscription(kinds: .all, sink: sink, capacity: 10, account: account)
        var second: Subscription? = Subscription(
            kinds: .all, sink: sink, capacity: 10, account: account)
        let event = Event(.sessionClosed, time: "now", origin: nil, audience: .administrators)
        #expect(!first.publish(event) && !first.publish(event))
        #expect(second?.publish(event) == false && second?.publish(event) == true)
        #expect(account.used(.waitingEvents) == 3)
        second = nil
        #expect(account.used(.waitingEvents) == 2)
        sink.isOpen = true
        first.flush()
        #expect(account.used(.waitingEvents) == 0)
    }

    private final class ClosedSink: NoticeSink {
        var isOpen = false
        func send(_ notice: Notice) -> Bool { isOpen }
        func tell(_ notice: Notice) -> Bool { isOpen }
    }

    /// The first 10,000 problems are looked for, not all of them.
    @Test func aCheckStopsAtItsBound() throws {
        let bench = try bench { _ in }
        let client = try bench.connect(uid: Self.uid)
        let mappings = Array(repeating: #"{"iova":"0x1000000000000000","length":1}"#, count: 5000)
        let devices = #"["0000:01:00.0","0000:03:00.0","0000:05:00.0"]"#
        let params = #"{"devices":\#(devices),"mappings":[\#(mappings.joined(separator: ","))]}"#
        let reply = try #require(try client.answer("ioas.check", params))
        #expect(reply["result"]?["problems"]?.arrayValue?.count == 10_000)
        #expect(reply["result"]?["ok"] == .bool(false))
    }
}
