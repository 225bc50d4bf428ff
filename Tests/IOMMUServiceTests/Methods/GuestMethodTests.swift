import Foundation
import JSONRPC
import TestSupport
import Testing

/// What a guest may say to its SMMU, and what is refused or stays its own.
struct GuestMethodTests {
    private typealias Guest = NestedGuest<PlayedClient>

    private let client: PlayedClient
    private let guest: Guest

    init() throws {
        client = try ServiceBench().connect()
        guest = try Guest(client)
    }

    @Test func badCommandsStopWhereTheyStand() throws {
        try guest.attach()
        let error = try client.refusal(
            "hwpt.invalidate",
            """
            {"target":\(guest.viommu),"type":"arm_smmuv3",
             "entries":[["0x9000000000011",0],["0x30",0],["0x44",0],["0x10",0]]}
            """
        )
        #expect(error.code == -Int(EIO) && error.reason == "bad_command")
        #expect(error.details.contains(JSONValue.Member(key: "handled", value: .integer(2))))
        try client.expect(
            EINVAL, "wrong_type", "hwpt.invalidate",
            #"{"target":\#(guest.viommu),"type":"other","entries":[["0x10",0]]}"#)
    }

    /// A range that IHI 0070 reserves would stop the queue that all devices share.
    @Test func illegalFieldsDoNotReachTheQueue() throws {
        try guest.attach()
        let illegal = [
            #""0x12","0x1400""#, #""0x12","0x300""#, #""0x5500000040","0x35""#, #""0x410","0x0""#,
        ]
        for bad in illegal {
            let error = try client.refusal(
                "hwpt.invalidate",
                #"{"target":\#(guest.viommu),"type":"arm_smmuv3","entries":[["0x10",0],[\#(bad)],["0x10",0]]}"#)
            #expect(error.code == -Int(EIO) && error.reason == "bad_command", "\(bad)")
            #expect(error.details.contains(JSONValue.Member(key: "handled", value: .integer(1))), "\(bad)")
        }
        let trace = try client.call("smmu.commands", #"{"smmu":"smmu0","limit":8}"#)["commands"]?.arrayValue
        let names = trace?.compactMap { $0["command"]?.stringValue } ?? []
        #expect(names == Array(repeating: ["CMD_TLBI_NH_ALL", "CMD_SYNC"], count: 4).flatMap { $0 })
    }

    /// The page is unmapped while no guest is there, and another guest of the same parent looks for it.
    @Test func aPageIsGoneForTheNextGuest() throws {
        let object = try client.importMemory(guest.memory)
        try client.call(
            "ioas.map",
            #"{"ioas":\#(guest.ioas),"memory":\#(object),"offset":65536,"length":4096,"iova":"0x20000000"}"#)
        guest.buildTables()
        guest.set(Guest.Layout.tables[3] + 8, 0x2000_0000 | 0xf47)
        let hwpt = try guest.nested()
        try client.call("device.attach", #"{"device":\#(guest.device),"pt":\#(hwpt)}"#)
        #expect(try guest.readWord(0x1000) == 0x1111)
        try client.call("device.detach", #"{"device":\#(guest.device)}"#)
        for id in [guest.events, hwpt, guest.vdevice, guest.viommu] {
            try client.call("object.destroy", #"{"id":\#(id)}"#)
        }
        try client.call("ioas.unmap", #"{"ioas":\#(guest.ioas),"iova":"0x20000000","length":4096}"#)
        let next = try client.id(
            "viommu.alloc", #"{"device":\#(guest.device),"hwpt":\#(guest.parent),"type":"arm_smmuv3"}"#, "viommu")
        try client.call("vdevice.alloc", #"{"viommu":\#(next),"device":\#(guest.device),"virt_id":1}"#)
        let vste = #"{"type":"arm_smmuv3","ste":[\#(guest.translating),212]}"#
        let again = try client.id("hwpt.alloc", #"{"device":\#(guest.device),"pt":\#(next),"data":\#(vste)}"#, "hwpt")
        try client.call("device.attach", #"{"device":\#(guest.device),"pt":\#(again)}"#)
        #expect(try guest.readWord(0) == 0x1111)
        try client.expect(
            EFAULT, "f_translation", "dma.read", #"{"device":\#(guest.device),"iova":"0x1000","length":8}"#)
    }

    @Test func illegalStreamTableEntriesAreRefused() throws {
        guest.buildTables()
        let illegal: [(UInt64, UInt64)] = [
            (guest.translating | 1 << 57, 0xd4), (guest.translating, 0xd4 | 1 << 30), (0xd, 0),
        ]
        for words in illegal {
            let data = #"{"type":"arm_smmuv3","ste":[\#(words.0),\#(words.1)]}"#
            let error = try client.refusal(
                "hwpt.alloc", #"{"device":\#(guest.device),"pt":\#(guest.viommu),"data":\#(data)}"#)
            #expect(error.code == -Int(EIO) && error.reason == "illegal_vste", "\(error)")
        }
        try client.expect(
            EINVAL, "unknown_data_type", "hwpt.alloc",
            #"{"device":\#(guest.device),"pt":\#(guest.viommu),"data":{"type":"intel_vtd","ste":[1,0]}}"#)
        try client.expectMistake(
            "hwpt.alloc", #"{"device":\#(guest.device),"pt":\#(guest.viommu),"data":{"ste":[1,0]}}"#, naming: "type")
        try client.expect(
            EINVAL, "wrong_count", "hwpt.alloc",
            #"{"device":\#(guest.device),"pt":\#(guest.viommu),"data":{"type":"arm_smmuv3","ste":[1]}}"#)
    }

    @Test func aWaitingReaderGetsTheFirstEvent() throws {
        try guest.attach()
        let name = #"{"name":"guest"}"#
        try client.expect(EBUSY, "session_not_empty", "session.attach", name)
        client.send("veventq.read", #"{"veventq":\#(guest.events),"timeout_ms":40}"#)
        let reply = try client.receive()
        #expect(reply["result"]?["events"]?.arrayValue?.isEmpty == true)
    }
}
