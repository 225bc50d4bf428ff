import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// A client that programs an SMMUv3 itself, as a VMM would.
struct BareSMMUTests {
    private typealias Program = BareSMMUProgram<RPCClient>

    private let daemon: RunningDaemon
    private let client: RPCClient
    private let smmu: Program

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
        smmu = try Program(client)
    }

    /// 4096 commands at once, the last one unknown: what takes several turns of the daemon is answered after them.
    @Test func aLongCommandQueueIsDoneWithTheReply() throws {
        try smmu.bringUp()
        try smmu.write(0x20, 0)
        try smmu.write(0x90, Program.gpa + UInt64(Program.Offset.commands) | 13, size: 8)
        for index in 0..<4095 { smmu.memory.setWord(Program.Offset.commands + 16 * index, 0x46) }
        smmu.memory.setWord(Program.Offset.commands + 16 * 4095, 0xff)
        try smmu.write(0x20, 0xd)
        try smmu.write(0x98, 4096)
        #expect(try smmu.read(0x9c) == 1 << 24 | 4095)
    }

    /// A VMM that reads slowly, and a guest whose TLBIs are more than sockets and buffers take: they wait, and so do
    /// the CMD_SYNC behind them and the reply. Others are served.
    @Test func commandsWaitForAVMMThatDoesNotRead() throws {
        let (vmm, other) = (try daemon.connect(), try daemon.connect())
        for one in [vmm, other] { try one.call("session.attach", #"{"name":"vm"}"#) }
        let smmu = try Program(vmm)
        try smmu.bringUp()
        try smmu.write(0x20, 0)
        try smmu.write(0x90, Program.gpa + UInt64(Program.Offset.commands) | 13, size: 8)
        let count = 4095
        let commands = Program.Offset.commands
        for index in 0..<count { smmu.memory.setWord(commands + 16 * index, UInt64(index) << 48 | 0x11) }
        smmu.memory.setWord(commands + 16 * count, 0x46)
        try smmu.write(0x20, 0xd)
        try vmm.send(
            line: #"{"jsonrpc":"2.0","id":"w","method":"vsmmu.mmio_write","#
                + #""params":{"vsmmu":1,"offset":"0x98","size":4,"value":\#(count + 1)}}"#)
        let otherSMMU = { try other.call("vsmmu.mmio_read", #"{"vsmmu":1,"offset":"0x9c","size":4}"#)["value"] }
        for index in 0..<count {
            let event = try JSONValue(parsing: try #require(try vmm.receiveLine()))["params"]
            #expect(event?["asid"]?.intValue == index)
            if index == 100 { #expect(try otherSMMU()?.unsignedValue ?? 0 < UInt64(count)) }
        }
        let reply = try JSONValue(parsing: try #require(try vmm.receiveLine()))
        #expect(reply["id"]?.stringValue == "w" && reply["result"] != nil)
        #expect(try otherSMMU()?.unsignedValue == UInt64(count + 1))
    }

    @Test func streamsBypassAbortAndFault() throws {
        let disabled = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1234"}"#)
        #expect(disabled["pa"]?.stringValue == "0x1234")
        try smmu.bringUp()
        smmu.memory.setWord(Program.Offset.streams + 64, 0x9)
        smmu.memory.setWord(Program.Offset.streams + 128, 0x1)
        let bypass = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1234"}"#)
        #expect(bypass["pa"]?.stringValue == "0x1234")
        #expect(bypass["page_size"]?.unsignedValue == 0)
        let abort = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":2,"iova":"0x1234","access":"write"}"#)
        #expect(abort["terminated"]?.stringValue == "ste_abort")
        let fault = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":3,"iova":"0x1234"}"#)
        #expect(fault["event"]?["type"]?.stringValue == "C_BAD_STE")
        #expect(fault["event"]?["recorded"]?.boolValue == true)
        #expect(fault["event"]?["record"]?[0]?.unsignedValue == smmu.memory.word(Program.Offset.events))
        #expect(try smmu.read(0x100a8) == 1)
        let many = try client.call(
            "vsmmu.translate_many",
            #"{"vsmmu":1,"requests":[{"stream_id":1,"iova":8},{"stream_id":2,"iova":8},{"stream_id":99,"iova":8}]}"#)
        #expect(many["results"]?[0]?["pa"]?.stringValue == "0x8")
        #expect(many["results"]?[1]?["terminated"]?.stringValue == "ste_abort")
        #expect(many["results"]?[2]?["event"]?["type"]?.stringValue == "C_BAD_STREAMID")
        #expect(try smmu.read(0x100a8) == 2)
    }

    @Test func interruptsSignalEventfds() throws {
        let signal = eventfd(0, 0)
        try #require(signal >= 0)
        defer { close(signal) }
        try client.expect(EBADF, "descriptor_missing", "vsmmu.set_irq", #"{"vsmmu":1,"irq":"evtq"}"#)
        try client.expect(
            EINVAL, "not_an_eventfd", "vsmmu.set_irq", #"{"vsmmu":1,"irq":"evtq"}"#,
            descriptors: [smmu.memory.descriptor])
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"evtq"}"#, descriptors: [signal])
        try smmu.bringUp()
        _ = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":3,"iova":0}"#)
        var count: UInt64 = 0
        #expect(Glibc.read(signal, &count, 8) == 8)
        #expect(count == 1)
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"evtq","enable":false}"#)
    }
}
