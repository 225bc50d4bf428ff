import Durability
import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import TestSupport
import Testing

@testable import IOMMUService

/// What becomes of a session part of which cannot be found again; and of processes, devices and long journals.
@Suite struct LossTests {
    private func importMemory(_ keeping: KeepingBench, _ client: PlayedClient, _ memory: SharedMemory) throws {
        client.send("memory.import", descriptors: [memory.descriptor])
        try keeping.bench.proceed { client.hasLine }
        _ = try #require(try client.receive()["result"])
    }

    /// Two memory objects, mapped beside each other, and a device.
    private func fill(_ keeping: KeepingBench) throws -> [SharedMemory] {
        let client = try keeping.connect("vm")
        let memories = try (0..<2).map { _ in try keeping.memory() }
        for memory in memories { try importMemory(keeping, client, memory) }
        for request in [
            ("ioas.alloc", "{}"), ("ioas.map", #"{"ioas":1,"memory":1,"length":65536,"iova":"0x10000"}"#),
            ("ioas.map", #"{"ioas":1,"memory":2,"length":65536,"iova":"0x20000"}"#),
            ("device.bind", #"{"name":"0000:01:00.0"}"#), ("device.attach", #"{"device":2,"pt":1}"#),
            ("mm.create", "{}"), ("mm.map", #"{"mm":1,"va":0,"memory":1,"length":65536}"#),
        ] { try client.call(request.0, request.1) }
        keeping.endTurn()
        return memories
    }

    @Test func aLostMemoryObjectTakesItsMappingsWithItAndNothingElse() throws {
        let keeping = try KeepingBench()
        let memories = try fill(keeping)
        keeping.manager.store.lose("iommud-1")
        try keeping.restart()
        let client = try keeping.connect("vm")
        let mappings = try client.call("ioas.mappings", #"{"ioas":1}"#)["mappings"]?.arrayValue
        #expect(mappings?.map { $0["memory"]?.intValue } == [2])
        try client.expect(ENOENT, "unknown_memory", "memory.close", #"{"memory":1}"#)
        try client.call("dma.write", #"{"device":2,"iova":"0x20000","data":"aGVsbG8="}"#)
        #expect(memories[1].text(0, 5) == "hello")
        // Its id is free, also for the next start.
        try importMemory(keeping, client, memories[0])
        keeping.endTurn()
        let before = try keeping.state
        #expect(before.contains("memory 1"))
        try keeping.restart()
        #expect(try keeping.state == before)
    }

    @Test func withoutAStoreAllButMemoryIsThere() throws {
        let keeping = try KeepingBench(store: 0)
        #expect(keeping.keeper.durable == .journal)
        #expect(keeping.keeper.promise.contains("without their memory"))
        _ = try fill(keeping)
        try keeping.restart()
        let client = try keeping.connect("vm")
        let kinds = try client.call("session.objects")["objects"]?.arrayValue?.compactMap { $0["kind"]?.stringValue }
        #expect(kinds == ["ioas", "device", "hwpt", "mm"])
        #expect(try client.call("daemon.info")["durable"]?.stringValue == "journal")
    }

    @Test func theSameFileIsKeptForEachMemoryObject() throws {
        let keeping = try KeepingBench()
        let client = try keeping.connect("vm")
        let memory = try keeping.memory()
        for _ in 0..<3 { try importMemory(keeping, client, memory) }
        keeping.endTurn()
        #expect(keeping.manager.store.count == 3 && keeping.manager.store.dropped == 0)
        try keeping.restart()
        #expect(try keeping.connect("vm").call("session.objects")["objects"]?.arrayValue?.count == 3)
    }

    @Test func aProcessGoesOnSharingItsMemoryWithADevice() throws {
        let keeping = try KeepingBench()
        let client = try keeping.connect("vm")
        let files = [open("/proc/self/mem", O_RDWR | O_CLOEXEC), open("/proc/self/maps", O_RDONLY | O_CLOEXEC)]
        client.send("mm.open", descriptors: files)
        for number in files { close(number) }
        try keeping.bench.proceed { client.hasLine }
        #expect(try client.receive()["result"]?["mm"]?.intValue == 1)
        for request in [
            ("device.bind", #"{"name":"uacce0"}"#), ("queue.open", #"{"device":1,"mm":1}"#),
            ("queue.start", #"{"queue":1}"#),
        ] { try client.call(request.0, request.1) }
        keeping.endTurn()
        let before = try keeping.state
        #expect(keeping.manager.store.count == 2)
        try keeping.restart()
        #expect(try keeping.state == before)
        let again = try keeping.connect("vm")
        let memory = try keeping.memory(4096)
        let address = UInt(bitPattern: memory.bytes.baseAddress)
        again.send("queue.submit", #"{"queue":1,"op":"fill","dst":\#(address),"length":64,"value":42}"#)
        try keeping.bench.proceed { again.hasLine }
        #expect(try again.receive()["result"]?["completed"]?.intValue == 64)
        #expect(memory.bytes[63] == 42)
        // Without its files it has ended.
        for name in keeping.manager.store.names { keeping.manager.store.lose(name) }
        try keeping.restart()
        #expect(try keeping.state.contains("exited"))
        try keeping.connect("vm").expect(ESRCH, "mm_exited", "queue.start", #"{"queue":1}"#)
    }

    @Test func devicesThatCameAndWentAreAsTheyWere() throws {
        let keeping = try KeepingBench()
        let client = try keeping.connect("vm")
        for request in [
            ("device.add", #"{"name":"new0","smmu":"smmu0","stream_ids":[777],"pasid_bits":4,"group":"g"}"#),
            ("device.bind", #"{"name":"new0"}"#), ("device.bind", #"{"name":"0000:03:00.0"}"#),
            ("device.remove", #"{"name":"0000:03:00.0"}"#), ("device.remove", #"{"name":"0000:04:00.0"}"#),
        ] { try client.call(request.0, request.1) }
        keeping.endTurn()
        for isWhole in [false, true] {
            if isWhole { keeping.keeper.compactAtOnce() }
            let before = try keeping.state
            try keeping.restart()
            #expect(try keeping.state == before)
            let again = try keeping.connect("vm")
            try again.expect(ENODEV, "device_removed", "device.hw_info", #"{"device":2}"#)
            try again.expect(ENODEV, "unknown_device", "device.bind", #"{"name":"0000:04:00.0"}"#)
        }
    }

    @Test func aLongJournalIsMadeShortWhileOthersGoOn() throws {
        let keeping = try KeepingBench()
        let client = try keeping.connect("vm")
        client.send("memory.create", #"{"size":16777216}"#)
        try keeping.bench.proceed { client.hasLine }
        _ = try client.receive()
        try client.call("ioas.alloc")
        for number in 0..<4000 {
            try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":\#((number * 7 + 1) << 12)}"#)
            if number % 2 == 1 {
                try client.call("ioas.unmap", #"{"ioas":1,"iova":\#((number * 7 + 1) << 12),"length":4096}"#)
            }
        }
        keeping.endTurn()
        let (before, length) = (try keeping.state, try #require(keeping.medium.content?.count))
        let other = try keeping.connect("other")
        keeping.keeper.beginCompaction()
        // It goes on in pieces: nothing of the session is carried out meanwhile, and others are served.
        client.send("fault.alloc")
        #expect(!client.hasLine)
        try other.call("ioas.alloc")
        keeping.endTurn()
        try keeping.bench.proceed { client.hasLine && keeping.keeper.journal?.isCompacting == false }
        keeping.endTurn()
        #expect(try #require(keeping.medium.content?.count) < length / 3)
        let after = try keeping.state
        #expect(after != before && after.contains("fault 2") && after.contains("other"))
        try keeping.restart()
        #expect(try keeping.state == after)
        try keeping.restart()
        #expect(try keeping.state == after, "and again")
    }

    @Test func anIdleDaemonWritesNothing() throws {
        let keeping = try KeepingBench()
        let client = try keeping.connect()
        let writes = keeping.medium.writes
        for _ in 0..<10 {
            try client.call("ioas.alloc")
            keeping.endTurn()
        }
        #expect(keeping.medium.writes == writes, "private sessions are nobody's business")
        let named = try keeping.connect("vm")
        keeping.endTurn()
        for _ in 0..<10 { try named.call("ioas.alloc") }
        keeping.endTurn()
        #expect(keeping.medium.writes == writes + 2, "one write a turn")
    }
}
