import JSONRPC
import TestSupport
import Testing

/// As many transactions wait as may, and end at once.
struct BareSMMUMassTests {
    @Test func thousandsOfStallsEndInTurns() throws {
        let client = try ServiceBench().connect()
        let memory = try SharedMemory(size: 1 << 20)
        _ = try client.importMemory(memory)
        _ = try client.id("vsmmu.create", #"{"idr":{"IDR5":"0x10000014"}}"#, "vsmmu")
        let smmu = try BareSMMUProgram(client, memory)
        try smmu.bringUpStalling()
        let requests = (0..<4096).map { #"{"stream_id":1,"iova":\#($0 << 12)}"# }.joined(separator: ",")
        let params = #"{"vsmmu":1,"requests":[\#(requests),{"stream_id":1,"iova":0}]}"#
        let results = try client.call("vsmmu.translate_many", params)["results"]?.arrayValue ?? []
        #expect(results.filter { $0["stalled"] != nil }.count == 4096)
        // There is no place for one more.
        #expect(results.last?["event"]?["type"]?.stringValue == "F_TRANSLATION" && results.last?["stalled"] == nil)
        for number in 1...4096 {
            #expect(try client.nextNotification()["params"]?["stall"]?.intValue == number)
        }
        try smmu.write(0x20, 0)
        for number in 1...4096 {
            let event = try client.nextNotification()["params"]
            #expect(event?["stall"]?.intValue == number && event?["action"]?.stringValue == "abort")
        }
        #expect(try client.call("vsmmu.stalls", #"{"vsmmu":1}"#)["stalls"]?.arrayValue?.isEmpty == true)
    }
}
