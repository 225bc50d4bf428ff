import SMMUv3

@testable import EmulatedIOMMU

/// One life of a virtual machine: two CD tables, each with tables of its own, in a megabyte that the nest parent maps.
final class CachelessGuest {
    /// Guest physical; beyond everything else that the parent maps.
    static let base: UInt64 = 0x8000_0000
    static let bytes: UInt64 = 1 << 20
    private let bench: DriverTestBench
    private let pa: UInt64
    /// Guest physical address of the megabyte.
    private let ipa: UInt64
    private var next: UInt64

    /// - Parameter slot: lives in different slots have different tables under the same ASIDs.
    init(_ bench: DriverTestBench, parent: PagingDomain, slot: Int) throws {
        self.bench = bench
        pa = try bench.machine.allocatePages(bytes: Self.bytes)
        ipa = Self.base + UInt64(slot) * Self.bytes
        next = ipa + 0x4000
        try parent.map(iova: ipa, pa: pa, length: Self.bytes, access: [.read, .write], hugePages: true)
        for table in 0..<2 { writeContext(table) }
    }

    private func store(_ value: UInt64, at ipa: UInt64) {
        bench.machine.pointer(pa + (ipa - self.ipa)).storeBytes(of: value, as: UInt64.self)
    }

    private func load(_ ipa: UInt64) -> UInt64 { bench.machine.pointer(pa + (ipa - self.ipa)).load(as: UInt64.self) }

    private func writeContext(_ table: Int) {
        var context = ContextDescriptor()
        (context.T0SZ, context.IR0, context.OR0, context.SH0) = (16, 1, 1, 3)
        (context.EPD1, context.V, context.AA64) = (true, true, true)
        (context.R, context.A, context.ASET) = (true, true, true)
        (context.IPS, context.ASID, context.MAIR0) = (4, UInt64(table + 1), 0xff44)
        context.TTB0 = root(table)
        for index in 0..<8 { store(context[index], at: contexts(table) + UInt64(index * 8)) }
    }

    private func contexts(_ table: Int) -> UInt64 { ipa + UInt64(table) << 12 }
    private func root(_ table: Int) -> UInt64 { ipa + 0x2000 + UInt64(table) << 12 }

    /// V, Config = stage 1, one CD.
    func vste(_ table: Int, ats: Bool) -> (UInt64, UInt64) {
        (1 | 5 << 1 | contexts(table), 0xd6 | (ats ? 1 << 28 : 0))
    }

    /// Points an address at a guest physical page, or nowhere; tables are made on the way.
    ///
    /// - Returns: the commands that a guest issues after it: nothing else tells the SMMU.
    func set(_ va: UInt64, table: Int, to page: UInt64?) -> [Command] {
        var current = root(table)
        for level in 0..<3 {
            let slot = current + (va >> UInt64(39 - 9 * level) & 511) * 8
            if load(slot) & 1 == 0 {
                guard next < ipa + Self.bytes else { return [] }
                store(next | 3, at: slot)
                next += 0x1000
            }
            current = load(slot) & 0xffff_ffff_f000
        }
        store(page.map { $0 | 0xf47 } ?? 0, at: current + (va >> 12 & 511) * 8)
        return [.TLBI_NH_VA(address: va & ~0xfff, asid: UInt16(table + 1), leaf: true)]
    }
}
