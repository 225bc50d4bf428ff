import Glibc
import IOMMU
import JSONRPC
import LinuxIO
import TestSupport
import Testing

@testable import Durability
@testable import IOMMUService

/// What cannot be written down, stored or read is refused, with nothing half done.
@Suite struct StateRefusalTests {
    private let keeping: KeepingBench

    init() throws { keeping = try KeepingBench(store: 8) }

    private func expectReply(_ client: PlayedClient, _ method: String, _ memory: SharedMemory? = nil) throws
        -> JSONValue
    {
        client.send(method, "{}", descriptors: memory.map { [$0.descriptor] } ?? [])
        try keeping.bench.proceed { client.hasLine }
        return try client.receive()
    }

    // MARK: The journal

    @Test func withoutRoomNothingChangesAndReadingGoesOn() throws {
        let client = try keeping.connect("vm")
        try client.call("ioas.alloc")
        keeping.endTurn()
        let before = try keeping.state
        keeping.medium.room = 0
        var refused = 0
        // Some room is kept already.
        while try client.answer("fault.alloc", "{}")?["error"] == nil, refused < 100_000 { refused += 1 }
        try client.expect(ENOSPC, "state_full", "ioas.alloc")
        try client.expect(ENOSPC, "state_full", "memory.create", #"{"size":4096}"#)
        try client.expect(ENOSPC, "state_full", "mm.create")
        let full = try keeping.state
        #expect(full != before && full.contains("ioas 1"))
        #expect(try client.call("ioas.iova_ranges", #"{"ioas":1}"#)["alignment"] != nil)
        try keeping.connect().expect(ENOSPC, "state_full", "session.attach", #"{"name":"other"}"#)
        // Others have no part in it.
        #expect(try keeping.connect().id("ioas.alloc", "{}", "ioas") == 1)
        keeping.medium.room = .max
        try client.call("ioas.alloc")
        keeping.endTurn()
        let last = try keeping.state
        try keeping.restart()
        #expect(try keeping.state == last)
    }

    @Test func nobodyIsToldOfWhatCannotBeWrittenAndItComesBack() throws {
        let client = try keeping.connect("vm")
        keeping.endTurn()
        keeping.medium.fate = { .failure(EIO) }
        try client.call("ioas.alloc")
        #expect(!keeping.endTurn())
        try client.expect(EIO, "state_unwritable", "ioas.alloc")
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.count == 1)
        keeping.medium.fate = { .success }
        keeping.keeper.beginCompaction()
        try keeping.bench.handleReady()
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 2)
        #expect(keeping.endTurn())
        let before = try keeping.state
        try keeping.restart()
        #expect(try keeping.state == before)
    }

    // MARK: A journal that cannot be read

    private func damage() throws {
        let client = try keeping.connect("vm")
        for _ in 0..<3 { try client.call("ioas.alloc") }
        _ = try expectReply(client, "memory.import", keeping.memory())
        keeping.endTurn()
        let place = try #require(keeping.medium.content?.count) / 2
        keeping.medium.content?[place] ^= 0x10
        try keeping.restart()
    }

    @Test func aDamagedJournalServesNobodyUntilItIsGivenUp() throws {
        try damage()
        #expect(keeping.keeper.status?.contains("damaged at byte") == true)
        let client = try keeping.bench.connect()
        let refusal = try client.refusal("daemon.info")
        #expect(refusal.code == -Int(EIO) && refusal.reason == "state_corrupt")
        #expect(refusal.details.contains { $0.key == "offset" })
        try client.expect(EIO, "state_corrupt", "ioas.alloc")
        #expect(keeping.manager.store.count == 1, "its descriptors stay")
        let stranger = try keeping.bench.connect(uid: 4711)
        try stranger.expect(EPERM, "not_allowed", "state.discard")
        keeping.medium.fate = { .failure(EIO) }
        try client.expect(EIO, "state_unwritable", "state.discard")
        keeping.medium.fate = { .success }
        try client.call("state.discard")
        #expect(try client.call("daemon.info")["durable"]?.stringValue == "full")
        #expect(keeping.manager.store.count == 0)
        try client.expect(EINVAL, "state_intact", "state.discard")
        #expect(try keeping.connect("vm").id("ioas.alloc", "{}", "ioas") == 1)
    }

    @Test func aRepairedJournalIsReadAgain() throws {
        try damage()
        let client = try keeping.bench.connect()
        try client.expect(EIO, "state_corrupt", "session.list")
        let place = try #require(keeping.medium.content?.count) / 2
        keeping.medium.content?[place] ^= 0x10
        keeping.keeper.retry()
        #expect(keeping.keeper.status == nil)
        let attached = try client.call("session.attach", #"{"name":"vm","create":false}"#)
        #expect(attached["session"]?["objects"]?.intValue == 4)
    }

    @Test func aJournalOfALaterVersionIsNotTouched() throws {
        let buffer = RecordBuffer()
        JournalHead.magic.withUnsafeBytes { buffer.put(raw: $0) }
        let start = buffer.begin()
        buffer.put(JournalHead.version + 1)
        buffer.end(start)
        let content = Array(buffer.bytes)
        keeping.medium.content = content
        try keeping.restart()
        #expect(keeping.keeper.status?.contains("later version") == true)
        #expect(keeping.medium.content == content)
    }

    @Test func theRecordThatWasBeingWrittenIsLeftOut() throws {
        let client = try keeping.connect("vm")
        try client.call("ioas.alloc")
        keeping.endTurn()
        let (before, length) = (try keeping.state, try #require(keeping.medium.content?.count))
        try client.call("ioas.alloc")
        keeping.endTurn()
        let whole = try #require(keeping.medium.content)
        for cut in length + 1..<whole.count {
            keeping.medium.content = Array(whole[..<cut])
            try keeping.restart()
            #expect(try keeping.state == before, "cut at \(cut) of \(whole.count)")
        }
    }

    @Test func whatAnEarlierRunOfTheSystemWroteIsGone() throws {
        try keeping.connect("vm").call("ioas.alloc")
        keeping.endTurn()
        let generation = keeping.keeper.generation
        let old = RecordBuffer()
        JournalHead(generation: generation, starts: 3, backend: "emulated", boot: "another").write(to: old)
        keeping.medium.content = Array(old.bytes)
        try keeping.restart()
        #expect(try keeping.state.isEmpty)
        #expect(keeping.keeper.generation != generation && keeping.keeper.starts == 1)
    }

    // MARK: The store

    @Test func oneUserGetsAQuarterOfTheStore() throws {
        let client = try keeping.connect("vm")
        for _ in 0..<2 { #expect(try expectReply(client, "memory.import", keeping.memory())["result"] != nil) }
        let refused = try expectReply(client, "memory.import", keeping.memory())
        #expect(refused.refusal == "EDQUOT quota_exceeded")
        #expect(refused["error"]?["data"]?["key"]?.stringValue == "limits.stored_descriptors_per_uid")
        #expect(keeping.manager.store.count == 2 && keeping.manager.store.dropped == 0)
        // Private sessions store nothing.
        #expect(try expectReply(keeping.connect(), "memory.import", keeping.memory())["result"] != nil)
        try client.call("memory.close", #"{"memory":1}"#)
        keeping.endTurn()
        #expect(try expectReply(client, "memory.import", keeping.memory())["result"] != nil)
        #expect(keeping.manager.store.count == 2)
    }

    @Test func aStoreThatIsFullIsNotAskedForMore() throws {
        let small = try KeepingBench(store: 2) { $0.limits.storedDescriptorsPerUID = 100 }
        let client = try small.connect("vm")
        for number in 1...3 {
            client.send("memory.create", #"{"size":4096}"#)
            try small.bench.proceed { client.hasLine }
            #expect(try client.receive().refusal == (number == 3 ? "EDQUOT quota_exceeded" : nil))
        }
        #expect(small.manager.store.count == 2 && small.manager.store.dropped == 0)
    }

    @Test(arguments: ["memory.import", "memory.create", "mm.open"])
    func whatIsNotStoredIsNotThere(method: String) throws {
        let client = try keeping.connect("vm")
        keeping.endTurn()
        let before = try keeping.state
        keeping.manager.refusal = ECONNREFUSED
        keeping.manager.refusals = 1
        let memory = try keeping.memory()
        let own = [open("/proc/self/mem", O_RDWR | O_CLOEXEC), open("/proc/self/maps", O_RDONLY | O_CLOEXEC)]
        defer { for number in own { close(number) } }
        let descriptors = ["memory.import": [memory.descriptor], "mm.open": own][method] ?? []
        client.send(method, method == "memory.create" ? #"{"size":4096}"# : "{}", descriptors: descriptors)
        try keeping.bench.proceed { client.hasLine }
        #expect(try client.receive().refusal == "EIO descriptor_not_stored")
        #expect(try keeping.state == before)
        // The next one is.
        client.send(method, method == "memory.create" ? #"{"size":4096}"# : "{}", descriptors: descriptors)
        try keeping.bench.proceed { client.hasLine }
        #expect(try client.receive()["result"] != nil)
    }

    @Test func aServiceManagerThatIsBehindHoldsUpTheReplyAndNothingElse() throws {
        let client = try keeping.connect("vm")
        keeping.manager.refusal = EAGAIN
        keeping.manager.refusals = 3
        keeping.manager.holdsBarriers = true
        let memory = try keeping.memory()
        client.send("memory.import", "{}", descriptors: [memory.descriptor])
        client.send("ioas.alloc")
        try keeping.bench.proceed { keeping.manager.sent.contains("BARRIER=1") }
        #expect(!client.hasLine)
        #expect(try keeping.connect().id("ioas.alloc", "{}", "ioas") == 1)
        keeping.manager.releaseBarriers()
        try keeping.bench.proceed { client.hasLine }
        #expect(try client.receive()["result"]?["memory"]?.intValue == 1)
        #expect(try client.receive()["result"]?["ioas"]?.intValue == 1)
    }
}
