import Foundation
import JSONRPC
import TestSupport
import Testing

/// `vsmmu.*` where the order of things matters, and what is refused.
struct BareSMMUMethodTests {
    private typealias Program = BareSMMUProgram<PlayedClient>

    private let client: PlayedClient
    private let smmu: Program

    init() throws {
        client = try ServiceBench().connect()
        smmu = try Program(client)
    }

    /// 7.2.1: what an invalidation met before its record was written is tried again, not reported as it was.
    @Test(arguments: [false, true]) func aStaleStallIsTriedAgain(isMendedMeanwhile: Bool) throws {
        try smmu.bringUpStalling()
        let translate = #"{"vsmmu":1,"stream_id":1,"iova":"0x1234"}"#
        let first = try client.call("vsmmu.translate", translate)
        #expect(first["event"]?["recorded"]?.boolValue == false)
        let tag = try #require(first["event"]?["stag"]?.unsignedValue)
        if isMendedMeanwhile {
            // A block of 1 GiB.
            smmu.memory.setWord(Program.Offset.tables, 0xc000_0000 | 0xc41)
        }
        smmu.memory.setWord(Program.Offset.commands, 0x30)
        smmu.memory.setWord(Program.Offset.commands + 16, 0x46)
        try smmu.write(0x98, 2)
        try smmu.write(0x20, 0xd)
        guard !isMendedMeanwhile else {
            #expect(try smmu.read(0x100a8) == 0)
            #expect(try client.call("vsmmu.translate", translate)["pa"]?.stringValue == "0xc0001234")
            return
        }
        #expect(try smmu.read(0x100a8) == 1)
        #expect(
            smmu.memory.word(Program.Offset.events) & 0xff == 0x10
                && smmu.memory.word(Program.Offset.events + 16) == 0x1234)
        #expect(smmu.memory.word(Program.Offset.events + 8) & 0xffff != tag)
    }

    @Test func aStallIsRecordedOnceTheQueueTakesIt() throws {
        try smmu.bringUpStalling()
        let stalled = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x1234"}"#)
        #expect(stalled["event"]?["stag"]?.unsignedValue != nil)
        #expect(stalled["event"]?["recorded"]?.boolValue == false)
        #expect(stalled["event"]?["record"] == nil)
        #expect(try smmu.read(0x100a8) == 0)
        try smmu.write(0x20, 0xd)
        #expect(try smmu.read(0x100a8) == 1)
        #expect(smmu.memory.word(Program.Offset.events + 16) == 0x1234)
        let next = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":"0x5678"}"#)
        #expect(next["event"]?["recorded"]?.boolValue == true)
        #expect(next["event"]?["record"]?[2]?.stringValue == "0x5678")
    }

    @Test func configurationIsCachedUntilACommandForgetsIt() throws {
        try smmu.bringUp()
        smmu.memory.setWord(Program.Offset.streams + 64, 0x9)
        let translate = #"{"vsmmu":1,"stream_id":1,"iova":4096}"#
        #expect(try client.call("vsmmu.translate", translate)["pa"] != nil)
        smmu.memory.setWord(Program.Offset.streams + 64, 0x1)
        #expect(try client.call("vsmmu.translate", translate)["pa"] != nil)
        smmu.memory.setWord(Program.Offset.commands, 1 << 32 | 0x3)
        smmu.memory.setWord(Program.Offset.commands + 8, 1)
        smmu.memory.setWord(Program.Offset.commands + 16, 0x46)
        try smmu.write(0x98, 2)
        #expect(try smmu.read(0x9c) == 2)
        #expect(try client.call("vsmmu.translate", translate)["terminated"]?.stringValue == "ste_abort")
    }

    @Test func whatNoBusWouldCarryIsRefused() throws {
        for (offset, size, reason) in [
            (1, 4, "misaligned_register"), (0x20002, 4, "misaligned_register"), (0x84, 8, "misaligned_register"),
            (0x20004, 8, "misaligned_register"), (0, 3, "bad_width"), (0x80, 2, "bad_width"),
        ] {
            try client.expect(EINVAL, reason, "vsmmu.mmio_read", #"{"vsmmu":1,"offset":\#(offset),"size":\#(size)}"#)
        }
        // Two registers of 32 bits, what is none, and what the owner answers for.
        #expect(try smmu.read(0, size: 8) == smmu.read(0) | smmu.read(4) << 32)
        for offset in [0x1000, 0x20000, 0x1_0000_0000, 0xffff_ffff_ffff_fff8] as [UInt64] {
            try smmu.write(offset, .max, size: 8)
            #expect(try smmu.read(offset) == 0 && smmu.read(offset, size: 8) == 0)
        }
        try client.expect(EINVAL, "idr_not_modelled", "vsmmu.create", #"{"idr":{"IDR0":0}}"#)
        try client.expectMistake("vsmmu.create", #"{"idr":{"IDR7":0}}"#, naming: "IDR7")
        try client.expect(
            EEXIST, "gpa_in_use", "vsmmu.memory", #"{"vsmmu":1,"memory":1,"length":4096,"gpa":\#(Program.gpa)}"#)
        try client.expect(EINVAL, "bad_range", "vsmmu.memory", #"{"vsmmu":1,"memory":1,"length":4095,"gpa":0}"#)
        try client.expect(EBUSY, "memory_mapped", "memory.close", #"{"memory":1}"#)
        try client.call("vsmmu.unmap_memory", #"{"vsmmu":1,"gpa":\#(Program.gpa)}"#)
        try client.call("memory.close", #"{"memory":1}"#)
        try client.call("vsmmu.destroy", #"{"vsmmu":1}"#)
        try client.expect(ENOENT, "unknown_vsmmu", "vsmmu.mmio_read", #"{"vsmmu":1,"offset":0,"size":4}"#)
    }

    /// What the model would not honour, and what no SMMU can be, by the field that says so.
    @Test func anIdentificationThatCannotBeIsRefusedByItsField() throws {
        let refused: [(String, String)] = [
            ("IDR5.OAS", #"{"IDR5":"0x1000016"}"#), ("IDR5.STALL_MAX", #"{"IDR5":"0x10010014"}"#),
            ("IDR5.VAX", #"{"IDR5":"0x1000414"}"#),
            ("IDR0.HYP", #"{"IDR0":"0x84d3699"}"#), ("IDR0.NS1ATS", #"{"IDR0":"0x84c3a9b"}"#),
            ("IDR3.RIL", #"{"AIDR":2,"IDR3":"0x1114"}"#), ("IDR3.BBML", #"{"AIDR":2,"IDR3":"0x514"}"#),
            ("IDR1.SSIDSIZE", #"{"IDR0":"0x84d3499"}"#), ("IDR1.PRIQS", #"{"IDR1":"0x2100410"}"#),
            ("IDR0[31]", #"{"IDR0":"0x884d369b"}"#), ("IDR2[31:0]", #"{"IDR2":1}"#),
            ("IDR3[6]", #"{"IDR3":"0x1554"}"#), ("IDR5[15:12]", #"{"IDR5":"0x1001014"}"#),
            ("IDR0.ST_LEVEL", #"{"IDR0":"0x4d369b"}"#), ("IDR0.ST_LEVEL", #"{"IDR0":"0x4d369b","IDR1":"0x2108407"}"#),
            ("AIDR[31:8]", #"{"AIDR":"0x101"}"#), ("AIDR", #"{"AIDR":5}"#), ("IIDR[7]", #"{"IIDR":"0x80"}"#),
        ]
        for (field, words) in refused {
            let error = try client.refusal("vsmmu.create", #"{"idr":\#(words)}"#)
            #expect(error.code == -Int(EINVAL) && error.reason == "idr_not_modelled")
            let named = error.details.first { $0.key == "field" }?.value.stringValue
            #expect(named == field, "\(words): \(error.message)")
        }
    }

    @Test func everyVersionOfTheArchitectureCanBe() throws {
        for version in 0...4 as ClosedRange<UInt64> {
            let id = try client.id("vsmmu.create", #"{"idr":{"AIDR":\#(version)}}"#, "vsmmu")
            let reply = try client.call("vsmmu.mmio_read", #"{"vsmmu":\#(id),"offset":28,"size":4}"#)
            #expect(reply["value"]?.unsignedValue == version)
        }
        _ = try client.id("vsmmu.create", #"{"idr":{"IDR0":"0x4d369b","IDR1":"0x2108406"}}"#, "vsmmu")
        // What is not given is the laboratory's smmu0 with HYP and MSI, as SMMUv3.1.
        let words: [(UInt64, UInt64)] = [(0, 0x84d369b), (4, 0x2108410), (12, 0x1514), (20, 0x1000014), (28, 1)]
        for (offset, word) in words { #expect(try smmu.read(offset) == word) }
    }

    @Test func anIdentityIsChosenByName() throws {
        try client.expectMistake("vsmmu.create", #"{"identity":"none"}"#, naming: "identity")
        let id = try client.id("vsmmu.create", #"{"identity":"qemu","idr":{"AIDR":0}}"#, "vsmmu")
        let words: [(UInt64, UInt64)] = [(0, 0xd44_101b), (4, 0x273_0010), (12, 0x1404), (20, 0x74), (28, 0)]
        for (offset, word) in words {
            let reply = try client.call("vsmmu.mmio_read", #"{"vsmmu":\#(id),"offset":\#(offset),"size":4}"#)
            #expect(reply["value"]?.unsignedValue == word)
        }
    }

    /// A pair of 32-bit registers in one access: both are read; the low one is written first.
    @Test func eightBytesReachBothRegistersOfAPair() throws {
        try smmu.bringUp()
        _ = try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":3,"iova":0}"#)
        #expect(try smmu.read(0x100a8, size: 8) == 1)
        try smmu.write(0x100a8, 1 << 32, size: 8)
        // EVENTQ_PROD is read-only while the queue is enabled.
        #expect(try smmu.read(0x100a8) == 1 && smmu.read(0x100ac) == 1 && smmu.read(0x100a8, size: 8) == 1 << 32 | 1)
        // IRQ_CTRL, then IRQ_CTRLACK.
        try smmu.write(0x50, 5, size: 8)
        #expect(try smmu.read(0x50, size: 8) == 5 << 32 | 5)
        for (low, high) in [(0x0, 0x4), (0x8, 0xc), (0x10, 0x14), (0x18, 0x1c), (0x20, 0x24), (0x28, 0x2c)]
            as [(UInt64, UInt64)]
        {
            #expect(try smmu.read(low, size: 8) == smmu.read(low) | smmu.read(high) << 32)
        }
    }

    @Test func anErrorOfTheCommandQueueGoesWithItsAcknowledgement() throws {
        try smmu.bringUp()
        smmu.memory.setWord(Program.Offset.commands, 0xff)
        try smmu.write(0x98, 1)
        #expect(try smmu.read(0x9c) == 1 << 24 && smmu.read(0x60) == 1)
        smmu.memory.setWord(Program.Offset.commands, 0x46)
        try smmu.write(0x64, 1)
        #expect(try smmu.read(0x9c) == 1)
        // Disabled, it takes what is written.
        try smmu.write(0x20, 0)
        try smmu.write(0x9c, 1 << 24 | 2)
        #expect(try smmu.read(0x9c) == 1 << 24 | 2)
        try smmu.write(0x9c, 0)
        #expect(try smmu.read(0x9c) == 0)
    }

    @Test func aResetLeavesIDAndMemory() throws {
        try smmu.bringUpStalling()
        #expect(try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":0}"#)["event"] != nil)
        try client.call("vsmmu.reset", #"{"vsmmu":1}"#)
        for offset in [0x20, 0x24, 0x50, 0x98, 0x9c, 0x100a8] as [UInt64] { #expect(try smmu.read(offset) == 0) }
        #expect(try client.call("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":0}"#)["pa"]?.stringValue == "0x0")
        try smmu.bringUp()
        try client.expect(ENOENT, "unknown_vsmmu", "vsmmu.reset", #"{"vsmmu":9}"#)
    }

    @Test func aSessionHasSoManyOfThem() throws {
        for _ in 1..<16 { _ = try client.call("vsmmu.create") }
        try client.expect(EDQUOT, "quota_exceeded", "vsmmu.create")
    }
}
