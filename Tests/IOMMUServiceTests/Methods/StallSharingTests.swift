import Foundation
import JSONRPC
import TestSupport
import Testing

/// Many page faults that wait, of sessions that share an SMMU, under the limits that hold without configuration.
struct StallSharingTests {
    private let bench: ServiceBench

    init() throws { bench = try ServiceBench() }

    /// A session with a stalling device whose page faults it reads and answers.
    private final class Guest {
        let name: String
        let bench: ServiceBench
        let client: PlayedClient
        let device: Int
        let ioas: Int
        let memory: Int
        let fault: Int
        /// By address: the connection that waits for its page.
        var waiting: [Int: PlayedClient] = [:]

        init(_ name: String, _ device: String, _ bench: ServiceBench) throws {
            self.name = name
            self.bench = bench
            client = try bench.connect()
            try client.call("session.attach", #"{"name":"\#(name)"}"#)
            memory = try client.id("memory.create", #"{"size":8388608}"#, "memory")
            ioas = try client.id("ioas.alloc", "{}", "ioas")
            self.device = try client.id("device.bind", #"{"name":"\#(device)"}"#, "device")
            fault = try client.id("fault.alloc", "{}", "fault")
            let hwpt = try client.id(
                "hwpt.alloc", #"{"device":\#(self.device),"pt":\#(ioas),"fault":\#(fault)}"#, "hwpt")
            try client.call("device.attach", #"{"device":\#(self.device),"pt":\#(hwpt)}"#)
        }

        /// Reads 8 bytes of a page that is not there, on a connection of its own.
        func access(_ page: Int, timeout: Int? = nil) throws {
            let connection = try bench.connect()
            try connection.call("session.attach", #"{"name":"\#(name)","create":false}"#)
            let limit = timeout.map { #","timeout_ms":\#($0)"# } ?? ""
            try connection.send(
                line:
                    #"{"jsonrpc":"2.0","id":1,"method":"dma.read","params":{"device":\#(device),"iova":\#(page << 12),"#
                    + #""length":8\#(limit)}}"#)
            waiting[page] = connection
        }

        /// What waits in the fault queue: page and cookie.
        func faults() throws -> [(page: Int, cookie: Int)] {
            let read = try client.call("fault.read", #"{"fault":\#(fault),"max":4096,"timeout_ms":10000}"#)
            return try (read["faults"]?.arrayValue ?? []).map { entry in
                let address = try #require(entry["addr"]?.unsignedValue)
                return (Int(address) >> 12, try #require(entry["cookie"]?.intValue))
            }
        }

        /// Maps the page and lets the device go on.
        func answer(_ fault: (page: Int, cookie: Int)) throws {
            let offset = (fault.page & 0x7ff) << 12
            try client.call(
                "ioas.map",
                #"{"ioas":\#(ioas),"memory":\#(memory),"offset":\#(offset),"length":4096,"iova":\#(fault.page << 12)}"#)
            try client.call(
                "fault.respond",
                #"{"fault":\#(self.fault),"responses":[{"cookie":\#(fault.cookie),"code":"success"}]}"#)
        }

        func reply(_ page: Int) throws -> JSONValue {
            let removed = waiting.removeValue(forKey: page)
            let connection = try #require(removed)
            let line = try #require(try connection.receiveLine())
            return try JSONValue(parsing: line)
        }
    }

    @Test func threeHundredAccessesOfOneDeviceAreAllAnswered() throws {
        let guest = try Guest("one", "0000:03:00.0", bench)
        let pages = 0x100..<(0x100 + 300)
        for page in pages { try guest.access(page) }
        var order: [Int] = []
        while order.count < pages.count {
            let faults = try guest.faults()
            try #require(!faults.isEmpty, "\(order.count) faults came, and no more")
            for fault in faults { try guest.answer(fault) }
            order += faults.map(\.page)
        }
        #expect(order == order.sorted() && Set(order) == Set(pages), "in order, each once")
        for page in pages {
            #expect(try guest.reply(page)["result"]?["data"]?.stringValue == "AAAAAAAAAAA=")
        }
    }

    @Test func aSessionThatTakesAllPlacesKeepsNobodyOut() throws {
        let greedy = try Guest("greedy", "0000:03:00.0", bench)
        for page in 0x100..<(0x100 + 300) { try greedy.access(page) }
        let parked = try greedy.faults()
        #expect(parked.count < 300, "an SMMU has 256 places")
        let other = try Guest("other", "0000:05:00.0", bench)
        for page in 0x10..<0x30 { try other.access(page) }
        var served = 0
        while served < 0x20 {
            let faults = try other.faults()
            try #require(!faults.isEmpty)
            for fault in faults { try other.answer(fault) }
            served += faults.count
        }
        for page in 0x10..<0x30 { #expect(try other.reply(page)["result"] != nil) }
        // An access without a place waits no longer than it said.
        try greedy.access(0x700, timeout: 50)
        let late = try greedy.reply(0x700)
        #expect(late.refusal == "ETIMEDOUT access_timed_out", "\(late.text)")
        // What is detached waits no longer either, with a place or without.
        try greedy.client.call("device.detach", #"{"device":\#(greedy.device)}"#)
        let places = Set(parked.map(\.page))
        for page in 0x100..<(0x100 + 300) {
            let reason = places.contains(page) ? "f_translation" : "blocked"
            let reply = try greedy.reply(page)
            #expect(reply.refusal == "EFAULT \(reason)", "\(reply.text)")
        }
    }

    @Test func oneUserHas1024AccessesThatWait() throws {
        let guest = try Guest("many", "0000:03:00.0", bench)
        for page in 0x100..<(0x100 + 1024) { try guest.access(page) }
        // The last one is under way, once another connection of the same loop has been served after it.
        _ = try guest.client.call("daemon.info", "{}")
        try guest.access(0x700)
        let refused = try guest.reply(0x700)
        #expect(refused.refusal == "EDQUOT quota_exceeded", "\(refused.text)")
        #expect(refused["error"]?["data"]?["limit"]?.intValue == 1024)
    }
}
