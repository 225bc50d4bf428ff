import IOMMU
import SMMUv3

@testable import BareSMMU

/// A guest with tables of both stages and a VMM that keeps translations; beside it, at every access, an SMMU that has
/// just come out of reset and reads the same tables.
final class CachingWorld {
    static let tableCount = 5
    /// Two neighbours in one block, another block, and one far away.
    static let places: [UInt64] = [0x1_0020_0000, 0x1_0020_1000, 0x1_0040_0000, 0x70_0000_0000]
    /// Of the streams with stage 1: tables, ASIDs.
    static let asids: [UInt16] = [9, 10, 11, 12, 9]

    let guest: BareGuest
    let vmm: Box
    let hasTags: Bool
    /// Tables 0 and 1 are those of stream 1's contexts, 2 the nested one, 3 the one with tags, 4 is in the place of 0.
    var tables: [UInt64] = []
    var stage2: UInt64 = 0
    var (streams, contexts): (UInt64, UInt64) = (0, 0)
    /// What lies under each of stream 1's contexts.
    var contextTables: [Int?] = [0, 1, nil]

    /// Shared with the guest, which hands notices on.
    final class Box {
        var vmm: CachingVMM
        init(_ vmm: CachingVMM) { self.vmm = vmm }
    }

    init(knowsTags: Bool, hasTags: Bool) throws {
        guest = try BareGuest()
        let box = Box(CachingVMM(knowsTags: knowsTags))
        (vmm, self.hasTags) = (box, hasTags)
        guest.tell = { box.vmm.hear($0) }
        tables = try (0..<Self.tableCount).map { _ in try guest.page() }
        (stage2, streams, contexts) = try (guest.page(), guest.page(), guest.page())
        // What the nested stream's structures lie in is mapped at stage 2 as it is.
        for address in stride(from: BareGuest.base, to: BareGuest.base + BareGuest.bytes, by: 1 << 21) {
            try guest.map(address, in: stage2, leaf: address | 0x4fd, level: 2, start: 1)
        }
        // And what its tables lead to, in pages.
        for (index, place) in Self.places.enumerated() {
            for page in 0..<2 as Range<UInt64> {
                let frame = 0x9_0000_0000 + UInt64(index) << 16 + page << 12
                try guest.map(place + page << 12, in: stage2, leaf: frame | 0x4ff, start: 1)
            }
        }
        try setUpStreams()
        try guest.enable(streamTable: streams, configuration: 4)
        try guest.issue(.CFGI_ALL(), .TLBI_NSNH_ALL(), .SYNC())
    }

    // MARK: Structures

    private func setUpStreams() throws {
        setContext(0, table: 0)
        setContext(1, table: 1)
        setContext(4, table: 2)
        setContext(8, table: 3, ignoresTags: hasTags)
        var first = stageOne(contexts)
        // Four CDs; what comes without a SubstreamID has the first.
        (first.S1CDMax, first.S1DSS, first.EATS) = (2, 0b10, 1)
        set(1, first)
        set(2, stageTwo)
        var nested = stageTwo
        (nested.Config, nested.S1ContextPtr) = (StreamConfiguration.nested.rawValue, contexts + 4 * 64)
        set(3, nested)
        set(4, stageOne(contexts + 8 * 64))
        setStream(0)
    }

    func setContext(_ index: Int, table: Int, ignoresTags: Bool = false) {
        var context = ContextDescriptor()
        (context.V, context.AA64, context.A, context.R, context.EPD1) = (true, true, true, true, true)
        (context.T0SZ, context.IPS, context.TBI0) = (16, 4, ignoresTags)
        context.ASID = UInt64(Self.asids[table])
        if index == 1 { context.ASID = UInt64(Self.asids[1]) }
        if index == 2 { context.ASID = 13 }
        context.TTB0 = tables[table]
        guest.store(contexts + UInt64(index) * 64, context.words)
    }

    private func stageOne(_ context: UInt64) -> StreamTableEntry {
        var entry = StreamTableEntry()
        (entry.V, entry.Config, entry.S1ContextPtr) = (true, StreamConfiguration.stage1.rawValue, context)
        entry.S1STALLD = true
        return entry
    }

    private var stageTwo: StreamTableEntry {
        var entry = StreamTableEntry()
        (entry.V, entry.Config, entry.S2VMID) = (true, StreamConfiguration.stage2.rawValue, 3)
        (entry.S2AA64, entry.S2R, entry.S1STALLD) = (true, true, true)
        (entry.S2T0SZ, entry.S2SL0, entry.S2PS, entry.S2TTB) = (25, 1, 4, stage2)
        return entry
    }

    func set(_ stream: UInt32, _ entry: StreamTableEntry) {
        guest.store(streams + UInt64(stream) * 64, entry.words)
    }

    /// Stream 5: bypass, abort, stage 1 with the tables of stream 1's second context, stage 2.
    func setStream(_ kind: Int) {
        var entry = StreamTableEntry()
        switch kind {
        case 0: (entry.V, entry.Config) = (true, StreamConfiguration.bypass.rawValue)
        case 1: entry.V = true
        case 2: entry = stageOne(contexts + 12 * 64)
        default: entry = stageTwo
        }
        if kind == 2 { setContext(12, table: 1) }
        set(5, entry)
        streamKind = kind
    }

    var streamKind = 0
    /// Tables of pages that a block is in the place of, by the place of their descriptor.
    var spares: [UInt64: UInt64] = [:]

    // MARK: Accesses

    /// The tags of what a stream has in the TLB.
    func tags(_ stream: UInt32, pasid: UInt32?, _ address: UInt64) -> CachingVMM.Tags {
        let index: UInt16? =
            switch stream {
            case 1: pasid == 1 ? 10 : pasid == 2 ? 13 : contextTables[0].map { Self.asids[$0] }
            case 3: 11
            case 4: 12
            case 5 where streamKind == 2: 10
            default: nil
            }
        let vmid: UInt16 = stream == 2 || stream == 3 || stream == 5 && streamKind == 3 ? 3 : 0
        return CachingVMM.Tags(asid: index, vmid: vmid, isGlobal: stream == 3 && globalPlaces.contains(address >> 21))
    }

    /// Blocks that have ever had a global leaf: of what is in them no ASID is sure.
    var globalPlaces: Set<UInt64> = []

    /// An SMMU with the registers of the guest's, out of reset.
    func cacheless() throws -> SMMU<GuestMemory> {
        let model = try guest.models.vsmmu(guest.vsmmu)
        let smmu = try SMMU(
            memory: GuestMemory(map: model.memory), identification: model.smmu.identification,
            geometry: CacheGeometry(tlbEntries: 16, configurationEntries: 4))
        for register in [Register.CR1, .CR2, .GBPA, .STRTAB_BASE, .STRTAB_BASE_CFG, .CR0] {
            var value = try guest.read(register)
            if register == .CR0 { value &= UInt64(CR0.SMMUEN) }
            if register == .GBPA { value |= UInt64(GBPA.Update) }
            try smmu.writeRegister(register.rawValue, width: register.width, value: value)
        }
        return smmu
    }
}
