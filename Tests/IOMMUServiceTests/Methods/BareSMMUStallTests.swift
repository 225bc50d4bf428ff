import Foundation
import JSONRPC
import TestSupport
import Testing

/// Transactions of a bare SMMU that wait, pages that devices ask for, and interrupts that are messages.
struct BareSMMUStallTests {
    private typealias Program = BareSMMUProgram<PlayedClient>

    private let client: PlayedClient
    private let smmu: Program
    private static let sync: (UInt64, UInt64) = (0x46, 0)

    init() throws {
        client = try ServiceBench().connect()
        smmu = try Program(client)
    }

    private func lines(_ method: String, _ params: String) throws -> [JSONValue] {
        client.send(method, params)
        var lines: [JSONValue] = []
        repeat { lines.append(try client.receive()) } while lines.last?["method"] != nil
        return lines.map { $0["params"] ?? $0["result"] ?? $0 }
    }

    private func translate(_ address: String, _ more: String = "") throws -> [JSONValue] {
        try lines("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"\#(address)"\#(more)}"#)
    }

    private func issue(_ commands: [(UInt64, UInt64)], behind consumed: Int = 0) throws -> [JSONValue] {
        let request = smmu.queue(commands, behind: consumed)
        return try lines(request.method, request.params)
    }

    private func stalls() throws -> [JSONValue] {
        try client.call("vsmmu.stalls", #"{"vsmmu":1}"#)["stalls"]?.arrayValue ?? []
    }

    /// From the stalled access to the one that goes through.
    @Test func aStalledTransactionIsResumed() throws {
        try smmu.bringUpStalling()
        try smmu.write(0x20, 0xd)
        let told = try translate("0x1234", #","access":"write""#)
        try #require(told.count == 2)
        #expect(told[0]["kind"]?.stringValue == "vsmmu_stall" && told[0]["stall"]?.intValue == 1)
        #expect(told[0]["stream_id"]?.intValue == 1)
        let tag = try #require(told[0]["tag"]?.unsignedValue)
        #expect(told[1]["stalled"]?["stall"]?.intValue == 1 && told[1]["stalled"]?["tag"]?.unsignedValue == tag)
        #expect(told[1]["event"]?["type"]?.stringValue == "F_TRANSLATION" && told[1]["pa"] == nil)
        let open = try stalls()
        #expect(open.count == 1 && open[0]["stall"]?.intValue == 1 && open[0]["tag"]?.unsignedValue == tag)
        #expect(open[0]["iova"]?.stringValue == "0x1234" && open[0]["access"]?.stringValue == "write")
        // The guest maps a block of 1 GiB and has it tried again.
        smmu.memory.setWord(Program.Offset.tables, 0xc000_0000 | 0xc41)
        let resumed = try issue([(1 << 32 | 1 << 12 | 0x44, tag), Self.sync])
        #expect(resumed.map { $0["kind"]?.stringValue } == ["vsmmu_resume", nil])
        #expect(resumed[0]["stall"]?.intValue == 1 && resumed[0]["action"]?.stringValue == "retry")
        #expect(try stalls().isEmpty)
        #expect(try translate("0x1234", #","access":"write""#)[0]["pa"]?.stringValue == "0xc0001234")
    }

    @Test func stalledTransactionsAreTerminated() throws {
        try smmu.bringUpStalling()
        try smmu.write(0x20, 0xd)
        let tags = try ["0x1000", "0x2000", "0x3000"].map { try translate($0)[0]["tag"]?.unsignedValue ?? 0 }
        // Terminate without, then with an abort; the rest of the stream.
        let told = try issue([
            (1 << 32 | 0x44, tags[0]), (1 << 32 | 1 << 13 | 0x44, tags[1]), (1 << 32 | 0x45, 0), Self.sync,
        ])
        #expect(told.compactMap { $0["action"]?.stringValue } == ["terminate", "abort", "abort"])
        #expect(told.compactMap { $0["stall"]?.intValue } == [1, 2, 3])
        // What ends with SMMUEN, and with a reset.
        _ = try translate("0x4000")
        let off = try lines("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x20","size":4,"value":12}"#)
        #expect(off.compactMap { $0["action"]?.stringValue } == ["abort"])
        try smmu.write(0x20, 0xd)
        _ = try translate("0x5000")
        let reset = try lines("vsmmu.reset", #"{"vsmmu":1}"#)
        #expect(reset.compactMap { $0["stall"]?.intValue } == [5])
        #expect(try stalls().isEmpty)
    }

    // MARK: Messages

    /// An MSI goes to memory if there is some, else to the VMM.
    @Test func anInterruptWithoutMemoryIsAMessage() throws {
        try smmu.write(0xb0, 0x808_0040, size: 8)
        try smmu.write(0xb8, 0x17)
        try smmu.bringUp()
        let told = try lines("vsmmu.translate", #"{"vsmmu":1,"stream_id":3,"iova":0}"#)
        #expect(told.map { $0["kind"]?.stringValue } == ["vsmmu_msi", nil])
        #expect(told[0]["address"]?.stringValue == "0x8080040" && told[0]["data"]?.stringValue == "0x17")
        // CMD_SYNC with SIG_IRQ: to the VMM, then into memory.
        let sync: UInt64 = 0x1234 << 32 | 1 << 12 | 0x46
        let message = try issue([(sync, 0x808_0044)])
        #expect(message.compactMap { $0["data"]?.stringValue } == ["0x1234"])
        let inside = Program.gpa + 0x40000
        #expect(try issue([(sync, inside)], behind: 1).count == 1)
        #expect(smmu.memory.word(0x40000) & 0xffff_ffff == 0x1234)
        #expect(try smmu.read(0x60) == 0)
    }

    /// CMD_SYNC with SIG_SEV wakes CPUs of an SMMU with IDR0.SEV; so does a full queue that has room again.
    @Test func anEventIsSentToCPUsThatWait() throws {
        let sev = try ServiceBench().connect()
        let memory = try SharedMemory(size: 1 << 20)
        _ = try sev.importMemory(memory)
        let made = try sev.call("vsmmu.create", #"{"idr":{"IDR0":"0x84d769b"}}"#)
        #expect(made["vsmmu"]?.intValue == 1)
        let program = try Program(sev, memory)
        try program.bringUp()
        func issue(_ commands: [(UInt64, UInt64)], behind consumed: Int = 0) throws -> [String?] {
            let request = program.queue(commands, behind: consumed)
            sev.send(request.method, request.params)
            var kinds: [String?] = []
            repeat { kinds.append(try sev.receive()["params"]?["kind"]?.stringValue) } while kinds.last != .some(nil)
            return kinds
        }
        let sync: UInt64 = 2 << 12 | 0x46
        #expect(try issue([(sync, 0)]) == ["vsmmu_sev", nil])
        #expect(try issue([(0x46, 0)], behind: 1) == [nil])
        // Eight commands are as many as the queue has room for.
        #expect(try issue([(UInt64, UInt64)](repeating: (0x46, 0), count: 8), behind: 2) == ["vsmmu_sev", nil])
        // Without IDR0.SEV nobody is told.
        try smmu.bringUp()
        #expect(try self.issue([(sync, 0)]).count == 1)
    }

    // MARK: ATS and PRI

    /// Stream 1 translates, with EATS = 1; nothing is mapped but the first GiB.
    private func bringUpWithATS() throws {
        try smmu.bringUpStalling()
        try smmu.write(0x20, 0)
        // Without stalls: CD.S = 0.
        smmu.memory.setWord(Program.Offset.streams + 72, 1 << 28)
        let context = 0x30000
        smmu.memory.setWord(context, smmu.memory.word(context) & ~(1 << 44) | 1 << 45)
        smmu.memory.setWord(Program.Offset.tables, 0xc000_0000 | 0xc41)
        try smmu.write(0xc0, Program.gpa + 0x50000 | 1, size: 8)
        try smmu.write(0x20, 0xf)
    }

    @Test func aDeviceAsksForTranslationsAndUsesThem() throws {
        try bringUpWithATS()
        let answer = try translate("0x1234", #","kind":"translation_request","access":"write""#)
        #expect(answer.count == 1 && answer[0]["pa"]?.stringValue == "0xc0001234")
        #expect(answer[0]["page_size"]?.stringValue == "0x40000000")
        #expect(answer[0]["attributes"]?["write"]?.boolValue == true)
        #expect(try translate("0xc0001234", #","kind":"translated""#)[0]["pa"]?.stringValue == "0xc0001234")
        // What is missing is no event.
        let missing = try translate("0x40000000", #","kind":"translation_request""#)
        #expect(missing[0]["terminated"]?.stringValue == "ats_no_access" && missing[0]["event"] == nil)
        #expect(try smmu.read(0x100a8) == 0)
        // Without EATS it is an event, which has no stall whatever is in its bits.
        smmu.memory.setWord(Program.Offset.streams + 72, 0)
        _ = try issue([(1 << 32 | 0x3, 1), Self.sync])
        let refused = try translate("0x1234", #","kind":"translation_request""#)
        #expect(refused.last?["terminated"]?.stringValue == "ats_unsupported_request")
        let event = try client.call("smmu.events", #"{"vsmmu":1}"#)["events"]?[0]
        #expect(event?["type"]?.stringValue == "F_BAD_ATS_TREQ" && event?["stag"] == nil)
    }

    @Test func aDeviceAsksForAPageAndIsAnswered() throws {
        try bringUpWithATS()
        func ask(_ more: String) throws -> JSONValue {
            try client.call("vsmmu.page_request", #"{"vsmmu":1,"stream_id":1,"iova":"0x5123"\#(more)}"#)
        }
        #expect(try ask(#","group":7,"access":"write""#)["outcome"]?.stringValue == "queued")
        #expect(try smmu.read(0x100c8) == 1)
        let record = smmu.memory.word(0x50000)
        #expect(record == 1 | 0b111 << 60 && smmu.memory.word(0x50008) == 0x5007)
        let told = try issue([(1 << 32 | 0x41, 7 | 0b10 << 12), Self.sync])
        #expect(told[0]["kind"]?.stringValue == "vsmmu_pri_response" && told[0]["code"]?.stringValue == "success")
        #expect(told[0]["group"]?.intValue == 7 && told[0]["stream_id"]?.intValue == 1)
        // A queue of two is full: the last of a group is answered by the SMMU, others by nobody.
        #expect(try ask(#","group":8"#)["outcome"]?.stringValue == "queued")
        #expect(try ask(#","group":9,"last":false"#)["outcome"]?.stringValue == "discarded")
        let overflow = try ask(#","group":9"#)
        #expect(overflow["outcome"]?.stringValue == "answered" && overflow["code"]?.stringValue == "success")
        try client.expect(
            ENOENT, "unknown_vsmmu", "vsmmu.page_request", #"{"vsmmu":9,"stream_id":1,"iova":0,"group":1}"#)
        try client.expect(ENOENT, "unknown_vsmmu", "vsmmu.stalls", #"{"vsmmu":9}"#)
    }

    // MARK: Broadcasts

    /// IDR0.BTM = 1 and CR2.PTM = 0; the VMM is told what it has said itself, as of any command.
    @Test func broadcastsOfTheGuestsCPUsAreHeard() throws {
        let id = try client.id("vsmmu.create", #"{"idr":{"IDR0":"0x84d36bb"}}"#, "vsmmu")
        func tlbi(_ more: String) throws -> [JSONValue] { try lines("vsmmu.tlbi", #"{"vsmmu":\#(id)\#(more)}"#) }
        #expect(try tlbi("")[0]["heard"]?.boolValue == false, "PTM out of reset")
        try client.call("vsmmu.mmio_write", #"{"vsmmu":\#(id),"offset":"0x2c","size":4,"value":2}"#)
        let cases: [(String, String, [String: UInt64])] = [
            ("", "all", [:]), (#","el2":true"#, "all", [:]), (#","vmid":3"#, "vmid", ["vmid": 3]),
            (#","asid":9"#, "asid", ["asid": 9, "vmid": 0]), (#","asid":9,"el2":true"#, "asid", ["asid": 9]),
            (#","va":"0x5000""#, "range", ["start": 0x5000, "last": 0x5fff, "vmid": 0]),
            (
                #","va":"0x5000","length":"0x3000","asid":9,"vmid":2"#, "range",
                ["start": 0x5000, "last": 0x7fff, "vmid": 2, "asid": 9]
            ),
            (#","va":"0x5000","el2":true"#, "range", ["start": 0x5000, "last": 0x5fff]),
        ]
        for (params, scope, members) in cases {
            let told = try tlbi(params)
            #expect(told.count == 2 && told[0]["scope"]?.stringValue == scope, "\(params)")
            for name in ["asid", "vmid", "start", "last"] {
                #expect(told[0][name]?.unsignedValue == members[name], "\(params) \(name)")
            }
            #expect(told.last?["heard"]?.boolValue == true)
        }
        try client.expect(ENOENT, "unknown_vsmmu", "vsmmu.tlbi", #"{"vsmmu":9}"#)
        #expect(try lines("vsmmu.tlbi", #"{"vsmmu":1}"#).first?["heard"]?.boolValue == false)
    }
}
