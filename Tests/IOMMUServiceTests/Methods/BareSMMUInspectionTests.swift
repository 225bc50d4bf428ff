import Foundation
import JSONRPC
import TestSupport
import Testing

/// `smmu.*` of a bare SMMU: what its owner can look into, and without side effects.
struct BareSMMUInspectionTests {
    private typealias Program = BareSMMUProgram<PlayedClient>

    private let client: PlayedClient
    private let smmu: Program

    init() throws {
        client = try ServiceBench().connect()
        smmu = try Program(client)
        try smmu.bringUpStalling()
        smmu.memory.setWord(Program.Offset.tables, 0xc000_0000 | 0xc41)
        try smmu.write(0x20, 0xd)
    }

    @Test func registersStructuresAndWalks() throws {
        let registers = try client.call("smmu.registers", #"{"vsmmu":1}"#)["registers"]
        #expect(registers?["CR0"]?.stringValue == "0xd" && registers?["IDR0"]?.stringValue == "0x84d369b")
        let entry = try client.call("smmu.ste", #"{"vsmmu":1,"stream_id":1}"#)
        #expect(entry["fields"]?["Config"]?.stringValue == "0x5" && entry["illegal"] == nil)
        let context = try client.call("smmu.cd", #"{"vsmmu":1,"stream_id":1}"#)
        #expect(context["fields"]?["T0SZ"]?.stringValue == "0x19" && context["illegal"] == nil)
        let walk = try client.call("smmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1234","trace":true}"#)
        #expect(walk["pa"]?.stringValue == "0xc0001234" && walk["steps"]?.arrayValue?.count == 1)
        #expect(walk["cached"]?.boolValue == false)
        // It left nothing, neither in the TLB nor in the queue.
        _ = try client.call("smmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x40000000"}"#)
        #expect(try smmu.read(0x100a8) == 0)
        #expect(try client.call("smmu.cache", #"{"vsmmu":1}"#)["translations"]?.arrayValue?.isEmpty == true)
        try client.expect(ENOENT, "no_ste", "smmu.ste", #"{"vsmmu":1,"stream_id":9999}"#)
        try client.expect(ENOENT, "no_cd", "smmu.cd", #"{"vsmmu":1,"stream_id":2}"#)
    }

    @Test func cachesCommandsAndEvents() throws {
        _ = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1234"}"#)
        _ = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":3,"iova":0}"#)
        let caches = try client.call("smmu.cache", #"{"vsmmu":1}"#)
        #expect(caches["translations"]?[0]?["output"]?.stringValue == "0xc0000000")
        #expect(caches["streams"]?.arrayValue?.compactMap(\.intValue) == [1])
        let request = smmu.queue([(9 << 48 | 0x11, 0), (0x46, 0), (0xff, 0)])
        try client.call(request.method, request.params)
        let commands = try client.call("smmu.commands", #"{"vsmmu":1}"#)
        #expect(
            commands["commands"]?.arrayValue?.map { $0["command"]?.stringValue }
                == ["CMD_TLBI_NH_ASID", "CMD_SYNC", "Reserved"])
        #expect(commands["last"]?.intValue == 3 && commands["commands"]?[0]?["ASID"]?.stringValue == "0x9")
        let later = try client.call("smmu.commands", #"{"vsmmu":1,"since":1,"limit":1}"#)
        #expect(later["commands"]?.arrayValue?.map { $0["sequence"]?.intValue } == [2])
        let events = try client.call("smmu.events", #"{"vsmmu":1}"#)
        #expect(events["events"]?.arrayValue?.map { $0["type"]?.stringValue } == ["C_BAD_STE"])
        #expect(try client.call("smmu.events", #"{"vsmmu":1,"since":1}"#)["events"]?.arrayValue?.isEmpty == true)
    }

    /// A configuration error says which field it is about.
    @Test func theFieldThatIsWrongIsNamed() throws {
        func field(_ word: Int, _ value: UInt64, stream: Int) throws -> String? {
            smmu.memory.setWord(Program.Offset.streams + 64 * stream + 8 * word, value)
            let answer = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":\#(stream),"iova":0}"#)
            let entry = try client.call("smmu.ste", #"{"vsmmu":1,"stream_id":\#(stream)}"#)
            #expect(answer["event"]?["field"] == entry["illegal"], "\(answer.text)")
            let walk = try client.call("smmu.translate", #"{"vsmmu":1,"stream_id":\#(stream),"iova":0}"#)
            #expect(walk["event"]?["field"] == entry["illegal"], "\(walk.text)")
            return entry["illegal"]?.stringValue
        }
        #expect(try field(0, 0, stream: 4) == "V")
        #expect(try field(0, 0xb | 31 << 59, stream: 4) == "S1CDMax")
        #expect(try field(0, 0xb | 1 << 50, stream: 4) == "S1ContextPtr")
        #expect(try field(0, 0xd, stream: 4) == "S2AA64")
        #expect(try field(2, 1 << 51 | 25 << 32, stream: 4) == "S2SL0")
        #expect(try field(2, 1 << 51 | 25 << 32 | 1 << 38 | 1 << 46, stream: 4) == "S2TG")
        // The context descriptor of stream 1, which has no V.
        smmu.memory.setWord(0x30000, 0)
        let answer = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":0}"#)
        #expect(answer["event"]?["type"]?.stringValue == "C_BAD_CD" && answer["event"]?["field"]?.stringValue == "V")
        #expect(try client.call("smmu.cd", #"{"vsmmu":1,"stream_id":1}"#)["illegal"]?.stringValue == "V")
    }
}
