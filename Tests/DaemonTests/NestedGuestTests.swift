import Foundation
import JSONRPC
import TestSupport
import Testing

/// A guest with an SMMU of its own.
struct NestedGuestTests {
    private typealias Guest = NestedGuest<RPCClient>

    private let daemon: RunningDaemon
    private let client: RPCClient
    private let guest: Guest

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
        guest = try Guest(client)
    }

    @Test func theGuestSeesStaleTranslationsUntilItInvalidates() throws {
        try guest.attach()
        #expect(try guest.readWord() == 0x1111)
        guest.setPage(1)
        #expect(try guest.readWord() == 0x1111)
        let handled = try client.call(
            "hwpt.invalidate",
            """
            {"target":\(guest.viommu),"type":"arm_smmuv3",
             "entries":[["0x9000000000012","0x1"],["0x9000000000011","0x0"]]}
            """
        )
        #expect(handled["handled"]?.intValue == 2)
        #expect(try guest.readWord() == 0x2222)
        let walk = try client.call("smmu.translate", #"{"device":\#(guest.device),"iova":8,"trace":true}"#)
        let stages = walk["steps"]?.arrayValue?.compactMap { $0["stage"]?.intValue } ?? []
        #expect(Set(stages) == [1, 2])
        #expect(stages.filter { $0 == 1 }.count == 4)
    }

    @Test func eventsComeWithTheGuestsStreamIDAndLossesAreCounted() throws {
        try guest.attach()
        let none = try client.call("veventq.read", #"{"veventq":\#(guest.events),"max":10}"#)
        #expect(none["events"]?.arrayValue?.isEmpty == true)
        try client.expect(
            EFAULT, "f_translation", "dma.read", #"{"device":\#(guest.device),"iova":"0x7000","length":1}"#)
        let one = try client.call("veventq.read", #"{"veventq":\#(guest.events),"max":10,"timeout_ms":10000}"#)
        let record = try #require(one["events"]?[0]?["record"]?.arrayValue)
        #expect((record[0].unsignedValue ?? 0) & 0xff == 0x10)
        #expect((record[0].unsignedValue ?? 0) >> 32 == Guest.virtualStreamID)
        #expect(record[2].stringValue == "0x7000")
        for page in 8..<14 {
            try client.expect(
                EFAULT, "f_translation", "dma.read", #"{"device":\#(guest.device),"iova":\#(page * 4096),"length":1}"#)
        }
        let many = try #require(
            try client.call("veventq.read", #"{"veventq":\#(guest.events),"max":10}"#)["events"]?.arrayValue)
        #expect(many.contains { $0["lost"]?.boolValue == true })
        #expect(many.filter { $0["lost"] == nil }.count == 3)
        // What is lost has a place in the sequence and nothing else.
        let last = try #require(many.last)
        #expect(last["lost"]?.boolValue == true && last["record"] == nil && last["sequence"]?.intValue == 6)
    }
}
