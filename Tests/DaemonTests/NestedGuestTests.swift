import Foundation
import JSONRPC
import TestSupport
import Testing

/// A guest with an SMMU of its own: it builds tables in its memory, and only its commands make changes visible.
struct NestedGuestTests {
    private static let base: UInt64 = 0x1000_0000
    private static let size = 1 << 20
    private static let virtualStreamID: UInt64 = 0x55

    /// Offsets in guest memory.
    private enum Layout {
        static let context: UInt64 = 0x1000
        static let tables: [UInt64] = [0x2000, 0x3000, 0x4000, 0x5000]
        static let pages: [UInt64] = [0x10000, 0x20000]
    }

    private let daemon: RunningDaemon
    private let client: RPCClient
    private let memory: SharedMemory
    private let ioas: Int
    private let device: Int
    private let parent: Int
    private let viommu: Int
    private let vdevice: Int
    private let events: Int

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
        memory = try SharedMemory(size: Self.size)
        let object = try client.importMemory(memory)
        ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call(
            "ioas.map", #"{"ioas":\#(ioas),"memory":\#(object),"length":\#(Self.size),"iova":\#(Self.base)}"#)
        device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        parent = try client.id(
            "hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"flags":["nest_parent"]}"#, "hwpt")
        viommu = try client.id(
            "viommu.alloc", #"{"device":\#(device),"hwpt":\#(parent),"type":"arm_smmuv3"}"#, "viommu")
        vdevice = try client.id(
            "vdevice.alloc", #"{"viommu":\#(viommu),"device":\#(device),"virt_id":\#(Self.virtualStreamID)}"#, "vdevice"
        )
        events = try client.id(
            "veventq.alloc", #"{"viommu":\#(viommu),"type":"arm_smmuv3","depth":3}"#, "veventq")
    }

    private func set(_ offset: UInt64, _ value: UInt64) { memory.setWord(Int(offset), value) }

    /// Maps guest virtual page 0 to one of the two pages.
    private func setPage(_ page: Int) { set(Layout.tables[3], Self.base + Layout.pages[page] | 0xf47) }

    /// A CD with ASID 9, a 48-bit TTB0 and four levels of tables.
    private func buildTables() {
        set(Layout.context, 0x9 << 48 | 0xe204_c000_3510)
        set(Layout.context + 8, Self.base + Layout.tables[0])
        set(Layout.context + 24, 0xf404_ff44)
        for level in 0..<3 { set(Layout.tables[level], Self.base + Layout.tables[level + 1] | 3) }
        setPage(0)
        for (index, page) in Layout.pages.enumerated() { set(page, UInt64(0x1111 * (index + 1))) }
    }

    /// The hwpt of a guest STE with these words.
    private func nested(_ word0: UInt64, _ word1: UInt64 = 0xd4) throws -> JSONValue {
        try client.call(
            "hwpt.alloc",
            #"{"device":\#(device),"pt":\#(viommu),"data":{"type":"arm_smmuv3","ste":[\#(word0),\#(word1)]}}"#)
    }

    private var translating: UInt64 { 0xb | (Self.base + Layout.context) }

    private func attachGuest() throws {
        buildTables()
        let hwpt = try #require(try nested(translating)["hwpt"]?.intValue)
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
    }

    private func readWord(_ iova: UInt64 = 0) throws -> UInt64 {
        let data = try client.call("dma.read", #"{"device":\#(device),"iova":\#(iova),"length":8}"#)["data"]?
            .stringValue
        let bytes = try #require(data.flatMap { Data(base64Encoded: $0) })
        return bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    }

    @Test func theGuestSeesStaleTranslationsUntilItInvalidates() throws {
        try attachGuest()
        #expect(try readWord() == 0x1111)
        setPage(1)
        #expect(try readWord() == 0x1111)
        let handled = try client.call(
            "hwpt.invalidate",
            """
            {"target":\(viommu),"type":"arm_smmuv3",
             "entries":[["0x9000000000012","0x1"],["0x9000000000011","0x0"]]}
            """
        )
        #expect(handled["handled"]?.intValue == 2)
        #expect(try readWord() == 0x2222)
        let walk = try client.call("smmu.translate", #"{"device":\#(device),"iova":8,"trace":true}"#)
        let stages = walk["steps"]?.arrayValue?.compactMap { $0["stage"]?.intValue } ?? []
        #expect(Set(stages) == [1, 2])
        #expect(stages.filter { $0 == 1 }.count == 4)
    }

    @Test func badCommandsStopWhereTheyStand() throws {
        try attachGuest()
        let error = try client.refusal(
            "hwpt.invalidate",
            """
            {"target":\(viommu),"type":"arm_smmuv3",
             "entries":[["0x9000000000011",0],["0x30",0],["0x44",0],["0x10",0]]}
            """
        )
        #expect(error.code == -Int(EIO) && error.reason == "bad_command")
        #expect(error.details.contains(JSONValue.Member(key: "handled", value: .integer(2))))
        try client.expect(
            EINVAL, "wrong_type", "hwpt.invalidate", #"{"target":\#(viommu),"type":"other","entries":[["0x10",0]]}"#)
    }

    /// A range that IHI 0070 reserves would stop the queue that all devices share.
    @Test func illegalFieldsDoNotReachTheQueue() throws {
        try attachGuest()
        let illegal = [
            #""0x12","0x1400""#, #""0x12","0x300""#, #""0x5500000040","0x35""#, #""0x410","0x0""#,
        ]
        for bad in illegal {
            let error = try client.refusal(
                "hwpt.invalidate",
                #"{"target":\#(viommu),"type":"arm_smmuv3","entries":[["0x10",0],[\#(bad)],["0x10",0]]}"#)
            #expect(error.code == -Int(EIO) && error.reason == "bad_command", "\(bad)")
            #expect(error.details.contains(JSONValue.Member(key: "handled", value: .integer(1))), "\(bad)")
        }
        let trace = try client.call("smmu.commands", #"{"smmu":"smmu0","limit":8}"#)["commands"]?.arrayValue
        let names = trace?.compactMap { $0["command"]?.stringValue } ?? []
        #expect(names == Array(repeating: ["CMD_TLBI_NH_ALL", "CMD_SYNC"], count: 4).flatMap { $0 })
    }

    /// The page is unmapped while no guest is there, and another guest of the same parent looks for it.
    @Test func aPageIsGoneForTheNextGuest() throws {
        let object = try client.importMemory(memory)
        try client.call(
            "ioas.map",
            #"{"ioas":\#(ioas),"memory":\#(object),"offset":65536,"length":4096,"iova":"0x20000000"}"#)
        buildTables()
        set(Layout.tables[3] + 8, 0x2000_0000 | 0xf47)
        let hwpt = try #require(try nested(translating)["hwpt"]?.intValue)
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
        #expect(try readWord(0x1000) == 0x1111)
        try client.call("device.detach", #"{"device":\#(device)}"#)
        for id in [events, hwpt, vdevice, viommu] { try client.call("object.destroy", #"{"id":\#(id)}"#) }
        try client.call("ioas.unmap", #"{"ioas":\#(ioas),"iova":"0x20000000","length":4096}"#)
        let next = try client.id(
            "viommu.alloc", #"{"device":\#(device),"hwpt":\#(parent),"type":"arm_smmuv3"}"#, "viommu")
        try client.call("vdevice.alloc", #"{"viommu":\#(next),"device":\#(device),"virt_id":1}"#)
        let vste = #"{"type":"arm_smmuv3","ste":[\#(translating),212]}"#
        let again = try client.id("hwpt.alloc", #"{"device":\#(device),"pt":\#(next),"data":\#(vste)}"#, "hwpt")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(again)}"#)
        #expect(try readWord(0) == 0x1111)
        try client.expect(
            EFAULT, "f_translation", "dma.read", #"{"device":\#(device),"iova":"0x1000","length":8}"#)
    }

    @Test func illegalStreamTableEntriesAreRefused() throws {
        buildTables()
        let illegal: [(UInt64, UInt64)] = [(translating | 1 << 57, 0xd4), (translating, 0xd4 | 1 << 30), (0xd, 0)]
        for words in illegal {
            let error = try client.refusal(
                "hwpt.alloc",
                #"{"device":\#(device),"pt":\#(viommu),"data":{"type":"arm_smmuv3","ste":[\#(words.0),\#(words.1)]}}"#)
            #expect(error.code == -Int(EIO) && error.reason == "illegal_vste", "\(error)")
        }
        try client.expect(
            EINVAL, "unknown_data_type", "hwpt.alloc",
            #"{"device":\#(device),"pt":\#(viommu),"data":{"type":"intel_vtd","ste":[1,0]}}"#)
        try client.expectMistake(
            "hwpt.alloc", #"{"device":\#(device),"pt":\#(viommu),"data":{"ste":[1,0]}}"#, naming: "type")
        try client.expect(
            EINVAL, "wrong_count", "hwpt.alloc",
            #"{"device":\#(device),"pt":\#(viommu),"data":{"type":"arm_smmuv3","ste":[1]}}"#)
    }

    @Test func eventsComeWithTheGuestsStreamIDAndLossesAreCounted() throws {
        try attachGuest()
        let none = try client.call("veventq.read", #"{"veventq":\#(events),"max":10}"#)
        #expect(none["events"]?.arrayValue?.isEmpty == true)
        try client.expect(EFAULT, "f_translation", "dma.read", #"{"device":\#(device),"iova":"0x7000","length":1}"#)
        let one = try client.call("veventq.read", #"{"veventq":\#(events),"max":10,"timeout_ms":10000}"#)
        let record = try #require(one["events"]?[0]?["record"]?.arrayValue)
        #expect((record[0].unsignedValue ?? 0) & 0xff == 0x10)
        #expect((record[0].unsignedValue ?? 0) >> 32 == Self.virtualStreamID)
        #expect(record[2].stringValue == "0x7000")
        for page in 8..<14 {
            try client.expect(
                EFAULT, "f_translation", "dma.read", #"{"device":\#(device),"iova":\#(page * 4096),"length":1}"#)
        }
        let many = try #require(
            try client.call("veventq.read", #"{"veventq":\#(events),"max":10}"#)["events"]?.arrayValue)
        #expect(many.contains { $0["lost"]?.boolValue == true })
        #expect(many.filter { $0["lost"] == nil }.count == 3)
        // What is lost has a place in the sequence and nothing else.
        let last = try #require(many.last)
        #expect(last["lost"]?.boolValue == true && last["record"] == nil && last["sequence"]?.intValue == 6)
    }

    @Test func aWaitingReaderGetsTheFirstEvent() throws {
        try attachGuest()
        let name = #"{"name":"guest"}"#
        try client.expect(EBUSY, "session_not_empty", "session.attach", name)
        try client.send(
            line: #"{"jsonrpc":"2.0","id":1,"method":"veventq.read","params":{"veventq":\#(events),"timeout_ms":40}}"#)
        let reply = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(reply["result"]?["events"]?.arrayValue?.isEmpty == true)
    }
}
