import Durability
import Glibc
import IOMMU
import IOMMUService
import JSONRPC
import LinuxIO
import TestSupport
import Testing

/// Named sessions are after a restart what they were before.
@Suite struct RestartTests {
    private let keeping: KeepingBench

    init() throws { keeping = try KeepingBench() }

    /// Restarts, and expects the state of before.
    private func expectSame() throws {
        keeping.endTurn()
        let before = try keeping.state
        try keeping.restart()
        let difference = KeepingBench.difference(before, try keeping.state)
        #expect(difference == nil, "\(difference ?? "")")
    }

    private func importMemory(_ client: PlayedClient, _ memory: SharedMemory) throws -> Int {
        client.send("memory.import", descriptors: [memory.descriptor])
        try keeping.bench.proceed { client.hasLine }
        return try #require(try client.receive()["result"]?["memory"]?.intValue)
    }

    @Test func devicesGoOnReadingAndWritingTheSameMemory() throws {
        let memory = try keeping.memory()
        var client = try keeping.connect("vm")
        #expect(try importMemory(client, memory) == 1)
        try client.call("ioas.alloc")
        try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":65536,"iova":"0x10000"}"#)
        try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        try client.call("device.attach", #"{"device":2,"pt":1}"#)
        try expectSame()
        client = try keeping.connect()
        try client.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"0000:01:00.0"}"#)
        let attached = try client.call("session.attach", #"{"name":"vm","create":false}"#)
        #expect(attached["session"]?["durable"]?.stringValue == "full")
        #expect(attached["session"]?["objects"]?.intValue == 4)
        try client.call("dma.write", #"{"device":2,"iova":"0x10000","data":"aGVsbG8="}"#)
        #expect(memory.text(0, 5) == "hello")
        // Ids go on where they were.
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 4)
        #expect(try importMemory(client, keeping.memory()) == 2)
        try expectSame()
    }

    @Test func pagesOfAProcessStayMapped() throws {
        let mapped = mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let page: UnsafeMutableRawPointer = try #require(mapped)
        let files = [open("/proc/self/mem", O_RDWR), open("/proc/self/maps", O_RDONLY)]
        defer { files.forEach { close($0) } }
        var client = try keeping.connect("vm")
        client.send("mm.open", descriptors: files)
        try keeping.bench.proceed { client.hasLine }
        #expect(try client.receive()["result"]?["mm"]?.intValue == 1)
        try client.call("ioas.alloc")
        let va = UInt(bitPattern: page)
        try client.call("ioas.map", #"{"ioas":1,"mm":1,"va":\#(va),"length":8192,"iova":"0x10000"}"#)
        try client.call(
            "ioas.copy", #"{"src_ioas":1,"src_iova":"0x11000","length":4096,"dst_ioas":1,"dst_iova":"0x20000"}"#)
        try client.call("device.bind", #"{"name":"0000:04:00.0"}"#)
        try client.call("device.attach", #"{"device":2,"pt":1}"#)
        for _ in 0..<2 {
            try expectSame()
            client = try keeping.connect("vm")
            try client.call("dma.write", #"{"device":2,"iova":"0x20000","data":"aGVsbG8="}"#)
            #expect(String(decoding: UnsafeRawBufferPointer(start: page + 4096, count: 5), as: UTF8.self) == "hello")
            memset(page, 0, 8192)
            client.disconnect()
        }
    }

    @Test func thereIsAGenerationAndACountOfStarts() throws {
        let first = try keeping.connect().call("daemon.info")
        #expect(first["durable"]?.stringValue == "full")
        #expect(first["starts"]?.intValue == 1)
        try keeping.restart()
        let second = try keeping.connect().call("daemon.info")
        #expect(second["starts"]?.intValue == 2)
        #expect(second["generation"] == first["generation"])
        keeping.medium.content = nil
        try keeping.restart()
        let third = try keeping.connect().call("daemon.info")
        #expect(third["starts"]?.intValue == 1)
        #expect(third["generation"] != first["generation"])
    }

    @Test func tablesGuestsAndTombstonesAreAsTheyWere() throws {
        let client = try keeping.connect("vm")
        try client.call("memory.create", #"{"size":1048576}"#)
        try keeping.bench.handleReady()
        for request in [
            ("ioas.alloc", "{}"), ("ioas.map", #"{"ioas":1,"memory":1,"length":"0x100000","iova":"0x4000000"}"#),
            ("device.bind", #"{"name":"0000:01:00.0"}"#), ("device.bind", #"{"name":"0000:05:00.0"}"#),
            ("fault.alloc", "{}"), ("hwpt.alloc", #"{"device":2,"pt":1,"flags":["nest_parent"]}"#),
            ("viommu.alloc", #"{"device":2,"hwpt":5,"type":"arm_smmuv3"}"#),
            ("vdevice.alloc", #"{"viommu":6,"device":2,"virt_id":7}"#),
            ("vdevice.alloc", #"{"viommu":6,"device":3,"virt_id":8}"#),
            ("veventq.alloc", #"{"viommu":6,"type":"arm_smmuv3","depth":64}"#),
            ("hwpt.alloc", #"{"device":3,"pt":1,"flags":["dirty_tracking","pasid"],"fault":4}"#),
            ("hwpt.set_dirty_tracking", #"{"hwpt":10,"enable":true}"#),
            ("device.attach", #"{"device":3,"pt":10}"#), ("device.attach", #"{"device":3,"pt":10,"pasid":9}"#),
            // Its vdevice leaves a tombstone.
            ("device.unbind", #"{"device":2}"#),
            ("ioas.option", #"{"ioas":1,"option":"huge_pages","value":false}"#),
        ] { _ = try? client.call(request.0, request.1) }
        try expectSame()
        let again = try keeping.connect("vm")
        #expect(try again.id("ioas.alloc", "{}", "ioas") == 2)
        #expect(try again.id("ioas.alloc", "{}", "ioas") == 11, "7 is a tombstone")
        // What devices may have written counts as written.
        let bitmap = #"{"hwpt":10,"iova":"0x4000000","length":"0x100000","page_size":4096}"#
        #expect(try again.call("hwpt.get_dirty_bitmap", bitmap)["dirty"]?.intValue == 256)
        // Events may have been lost.
        let events = try again.call("veventq.read", #"{"veventq":9}"#)["events"]?.arrayValue
        #expect(events?.first?["lost"]?.boolValue == true)
    }

    @Test func whatEndsWithTheDaemonIsThePrivateSessionsAlone() throws {
        let stranger = try keeping.connect()
        try stranger.call("device.bind", #"{"name":"0000:03:00.0"}"#)
        let client = try keeping.connect("vm")
        try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        keeping.endTurn()
        try keeping.restart()
        let next = try keeping.connect()
        try next.call("device.bind", #"{"name":"0000:03:00.0"}"#)
        try next.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"0000:01:00.0"}"#)
    }

    @Test func nothingThatWasNotWrittenIsThere() throws {
        let client = try keeping.connect("vm")
        keeping.endTurn()
        let before = try keeping.state
        try client.call("ioas.alloc")
        try keeping.restart()
        #expect(try keeping.state == before)
    }

    @Test func aClosedSessionStaysClosedAndItsDescriptorsGo() throws {
        let client = try keeping.connect("vm")
        _ = try importMemory(client, keeping.memory())
        keeping.endTurn()
        #expect(keeping.manager.store.count == 1)
        try client.call("session.close")
        keeping.endTurn()
        #expect(keeping.manager.store.count == 0)
        try keeping.restart()
        #expect(try keeping.state.isEmpty)
        // Its name is free.
        #expect(try keeping.connect("vm").id("ioas.alloc", "{}", "ioas") == 1)
    }

    @Test func tagsThatPrivateSessionsHaveTakenMeanwhileAreNotTakenAgain() throws {
        // A private session has the lowest ASIDs, PASIDs and physical addresses.
        let stranger = try keeping.connect()
        for request in [
            ("memory.create", #"{"size":65536}"#), ("ioas.alloc", "{}"), ("device.bind", #"{"name":"0000:05:00.0"}"#),
            ("device.attach", #"{"device":2,"pt":1}"#), ("mm.create", "{}"), ("sva.bind", #"{"device":2,"mm":1}"#),
        ] { try stranger.call(request.0, request.1) }
        let client = try keeping.connect("vm")
        _ = try importMemory(client, keeping.memory())
        for request in [
            ("ioas.alloc", "{}"), ("device.bind", #"{"name":"uacce0"}"#), ("device.attach", #"{"device":2,"pt":1}"#),
            ("mm.create", "{}"), ("mm.map", #"{"mm":1,"va":"0x10000","memory":1,"length":65536}"#),
            ("sva.bind", #"{"device":2,"mm":1}"#), ("queue.open", #"{"device":2,"mm":1}"#),
            ("queue.start", #"{"queue":1}"#), ("queue.open", #"{"device":2,"mm":1}"#),
        ] { try client.call(request.0, request.1) }
        let bond = try client.call("sva.list")["bonds"]?[0]
        #expect(bond?["pasid"]?.intValue == 2 && bond?["asid"]?.intValue == 4)
        try expectSame()
        let again = try keeping.connect("vm")
        #expect(try again.call("sva.list")["bonds"]?[0] == bond)
        let work = #"{"queue":1,"op":"fill","dst":"0x10000","length":16,"value":7}"#
        #expect(try again.call("queue.submit", work)["completed"]?.intValue == 16)
    }
}

extension KeepingBench {
    /// What the journal says.
    var records: [Record] {
        guard let content = medium.content, var reader = try? JournalReader(content) else { return [] }
        var records: [Record] = []
        while let record = try? reader.next() { records.append(record) }
        return records
    }
}
