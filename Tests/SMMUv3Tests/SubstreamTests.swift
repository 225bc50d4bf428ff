import SMMUv3
import Testing

/// SubstreamIDs, S1DSS and CD tables (5.2, 5.3).
@Suite struct SubstreamTests {
    private let machine: Machine
    private let table: UInt64
    private var ste: StreamTableEntry

    init() throws {
        machine = try Machine()
        table = machine.allocate(65536)
        ste = machine.stage1(table)
        ste.S1CDMax = 4
        machine.set(ste, stream: 1)
    }

    /// A CD whose tables map 0x1000 to `output`.
    private func descriptor(_ output: UInt64, asid: UInt64) -> ContextDescriptor {
        let root = machine.allocate()
        machine.map(root, 0x1000, output)
        return machine.context(root, asid: asid)
    }

    private mutating func change(_ body: (inout StreamTableEntry) -> Void) throws {
        body(&ste)
        machine.set(ste, stream: 1)
        try machine.submit(.CFGI_STE(streamID: 1), .SYNC())
    }

    @Test func linearTable() throws {
        machine.set(descriptor(0x5000, asid: 5), at: table + 5 * 64)
        machine.set(descriptor(0x6000, asid: 6), at: table + 15 * 64)
        #expect(machine.translate(0x1000, substream: 5).address == 0x5000)
        #expect(machine.translate(0x1000, substream: 15).address == 0x6000)
        let missing = try #require(machine.translate(0x1000, substream: 3).event)
        #expect(missing.type == .C_BAD_CD && missing.SSV && missing.SubstreamID == 3)
        let beyond = try #require(machine.translate(0x1000, substream: 16).event)
        #expect(beyond.type == .C_BAD_SUBSTREAMID && beyond.SubstreamID == 16)
        #expect(!beyond.SSV && beyond.substream == 16, "the record has the SubstreamID and no SSV")
        #expect(machine.translate(0x1000, substream: .max).type == .C_BAD_SUBSTREAMID)
    }

    @Test(arguments: [(UInt64(1), UInt64(6)), (2, 10)])
    func twoLevelTable(_ format: UInt64, _ leafBits: UInt64) throws {
        let ste = { (base: StreamTableEntry) in
            var copy = base
            (copy.S1Fmt, copy.S1CDMax) = (format, leafBits + 2)
            return copy
        }(ste)
        machine.set(ste, stream: 1)
        let leaf = machine.allocate(64 << leafBits)
        machine.memory[table + 8] = leaf | 1
        let index = UInt32(1 << leafBits + 3)
        machine.set(descriptor(0x5000, asid: 5), at: leaf + 3 * 64)
        #expect(machine.translate(0x1000, substream: index).address == 0x5000)
        #expect(machine.translate(0x1000, substream: 3).type == .C_BAD_SUBSTREAMID)
        #expect(machine.translate(0x1000, substream: 4 << UInt32(leafBits)).type == .C_BAD_SUBSTREAMID)
        machine.memory[table + 16] = 0x1000_0000_0000 | 1
        let outOfRange = try #require(machine.translate(0x1000, substream: 2 << UInt32(leafBits)).event)
        #expect(outOfRange.type == .C_BAD_SUBSTREAMID && outOfRange.SubstreamID == 2 << UInt32(leafBits))
    }

    @Test mutating func defaultSubstream() throws {
        machine.set(descriptor(0x5000, asid: 5), at: table)
        let disabled = try #require(machine.translate(0x1000).event)
        #expect(disabled.type == .F_STREAM_DISABLED && disabled.words == [0x1_0000_0006, 0, 0, 0])
        #expect(machine.translate(0x1000, substream: 0).address == 0x5000)
        try change { $0.S1DSS = 1 }
        #expect(machine.translate(0x1234).address == 0x1234)
        #expect(machine.translate(0x1000_0000_0000).type == .F_ADDR_SIZE)
        try change { $0.S1DSS = 2 }
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(machine.translate(0x1000, substream: 0).type == .F_STREAM_DISABLED)
        try change { $0.S1DSS = 3 }
        #expect(machine.translate(0x1000).type == .F_STREAM_DISABLED)
    }

    @Test mutating func withoutSubstreams() throws {
        try change { $0.S1CDMax = 0 }
        machine.set(descriptor(0x5000, asid: 5), at: table)
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(machine.translate(0x1000, substream: 0).type == .C_BAD_SUBSTREAMID)
        try change { $0.Config = StreamConfiguration.bypass.rawValue }
        #expect(machine.translate(0x1000, substream: 1).type == .C_BAD_SUBSTREAMID)
        try change { $0.Config = StreamConfiguration.abort.rawValue }
        #expect(machine.translate(0x1000, substream: 1).termination == .steAbort)
        try change { ($0.Config, $0.S1CDMax) = (StreamConfiguration.stage1.rawValue, 17) }
        #expect(machine.translate(0x1000).type == .C_BAD_STE)
    }

    @Test func SSIDSIZEZeroIgnoresTheFields() throws {
        let machine = try Machine(Identification.laboratory.with(\.IDR1, 10, 6, 0))
        let root = machine.allocate()
        machine.map(root, 0x1000, 0x5000)
        let cd = machine.allocate()
        machine.set(machine.context(root), at: cd)
        var ste = machine.stage1(cd)
        (ste.S1CDMax, ste.S1Fmt, ste.S1DSS) = (31, 1, 1)
        machine.set(ste, stream: 1)
        #expect(machine.translate(0x1000).address == 0x5000)
        #expect(machine.translate(0x1000, substream: 0).type == .C_BAD_SUBSTREAMID)
    }

    @Test func contextsAreInvalidatedByIndex() throws {
        machine.set(descriptor(0x5000, asid: 5), at: table + 5 * 64)
        machine.set(descriptor(0x6000, asid: 6), at: table + 6 * 64)
        #expect(machine.translate(0x1000, substream: 5).address == 0x5000)
        #expect(machine.translate(0x1000, substream: 6).address == 0x6000)
        machine.set(descriptor(0x7000, asid: 7), at: table + 5 * 64)
        machine.set(descriptor(0x8000, asid: 8), at: table + 6 * 64)
        try machine.submit(.CFGI_CD(streamID: 2, substreamID: 5), .CFGI_CD(streamID: 1, substreamID: 4))
        #expect(machine.translate(0x1000, substream: 5).address == 0x5000)
        try machine.submit(.CFGI_CD(streamID: 1, substreamID: 5))
        #expect(machine.translate(0x1000, substream: 5).address == 0x7000)
        #expect(machine.translate(0x1000, substream: 6).address == 0x6000)
        try machine.submit(.CFGI_CD_ALL(streamID: 1))
        #expect(machine.translate(0x1000, substream: 6).address == 0x8000)
    }
}
