import SMMUv3
import Testing

/// The bits of structures, commands and records as IHI 0070 lays them out.
@Suite struct EncodingTests {
    @Test func commands() {
        #expect(Command.CFGI_STE(streamID: 0x12).words == [0x12_0000_0003, 1])
        #expect(Command.CFGI_ALL().words == [4, 0x1f])
        #expect(Command.CFGI_CD(streamID: 0x12, substreamID: 5, leaf: false).words == [0x12_0000_5005, 0])
        #expect(
            Command.TLBI_NH_VA(address: 0x1234_5678, asid: 7, vmid: 3).words == [0x0007_0003_0000_0012, 0x1234_5001])
        let range = InvalidationRange(TG: 1, NUM: 3, SCALE: 2, TTL: 2)
        #expect(
            Command.TLBI_S2_IPA(address: 0x1000, vmid: 9, leaf: false, range: range).words
                == [0x0000_0009_0020_302a, 0x1600])
        #expect(
            Command.ATC_INV(streamID: 1, substreamID: 2, address: 0x5000, size: 3, global: true).words
                == [0x1_0000_2a40, 0x5003])
        #expect(
            Command.PRI_RESP(streamID: 1, substreamID: nil, prgIndex: 0x1ff, response: .Success).words
                == [0x1_0000_0041, 0x21ff])
        #expect(Command.RESUME(streamID: 1, stag: 5, action: .retry).words == [0x1_0000_1044, 5])
        #expect(Command.RESUME(streamID: 1, stag: 5, action: .terminate(abort: true)).words == [0x1_0000_2044, 5])
        #expect(Command.SYNC(signal: 1, msiAddress: 0x1004, msiData: 9).words == [0x9_0000_1046, 0x1004])
    }

    @Test func decodedCommands() {
        let command = Command.TLBI_NH_VA(address: 0x1000, asid: 7, vmid: 3)
        #expect(command.name == "CMD_TLBI_NH_VA")
        #expect(command.fields.map(\.name.description) == ["VMID", "ASID", "Leaf", "Address"])
        #expect(Command.CFGI_ALL().name == "CMD_CFGI_ALL" && Command(word0: 0xff, word1: 0).name == "Reserved")
        for opcode in CommandOpcode.allCases {
            #expect(Command(opcode).name.hasPrefix("CMD_"))
        }
    }

    @Test func decodedEvents() throws {
        let machine = try Machine()
        machine.set(machine.stage2(machine.allocate(8192)), stream: 1)
        let event = try #require(machine.translate(0x1234, .write).event)
        #expect(
            event.fields.map(\.name.description) == [
                "StreamID", "SSV", "Stall", "PnU", "InD", "RnW", "S2", "CLASS", "InputAddr", "IPA",
            ])
        #expect(event.fields.last?.value == 0x1000)
        #expect(EventRecord(word0: 0xff).name == "Reserved" && EventRecord(word0: 0xff).fields.isEmpty)
    }

    /// Every field setter touches its own bits only, and reads back what it stored.
    @Test func fieldsDoNotOverlap() {
        var ste = StreamTableEntry()
        ste.S2TTB = 0xf_ffff_ffff_fff0
        #expect(ste.words == [0, 0, 0, 0x000f_ffff_ffff_fff0, 0, 0, 0, 0])
        (ste.S2VMID, ste.S2T0SZ, ste.S2SL0, ste.S2TG, ste.S2PS, ste.S2AA64) = (0xffff, 25, 1, 2, 5, true)
        #expect(ste.word2 == 0xd_8059_0000_ffff)
        ste.S1ContextPtr = .max
        #expect(ste.word0 == 0x00ff_ffff_ffff_ffc0 && ste.S1ContextPtr == 0x00ff_ffff_ffff_ffc0)
        var cd = ContextDescriptor()
        (cd.ASID, cd.V, cd.IPS, cd.AA64, cd.TTB0) = (0xffff, true, 5, true, 0x1234_5000)
        #expect(cd.words == [0xffff_0205_8000_0000, 0x1234_5000, 0, 0, 0, 0, 0, 0])
        #expect(
            StreamTableEntry(words: ste.words) == ste && StreamTableEntry(words: []).words == StreamTableEntry().words)
    }

    /// Every bit of a structure belongs to one field at most.
    @Test func layoutsDoNotOverlap() {
        for position in 0..<512 {
            var words = [UInt64](repeating: 0, count: 8)
            words[position / 64] = 1 << UInt64(position % 64)
            #expect(StreamTableEntry(words: words).fields.filter { $0.value != 0 }.count <= 1, "STE bit \(position)")
            #expect(ContextDescriptor(words: words).fields.filter { $0.value != 0 }.count <= 1, "CD bit \(position)")
        }
        let all = [UInt64](repeating: .max, count: 8)
        #expect(StreamTableEntry(words: all).fields.allSatisfy { $0.value != 0 })
        #expect(ContextDescriptor(words: all).fields.allSatisfy { $0.value != 0 })
    }
}
