import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// What a guest keeps in its memory: a CD table and stage 1 tables, all at guest physical addresses.
final class GuestTables {
    let bench: DriverTestBench
    /// Guest physical 0x8000_0000…: one megabyte, behind it table memory of the machine.
    static let base: UInt64 = 0x8000_0000
    let pa: UInt64
    private var next: UInt64 = 0x2000
    let contexts: UInt64
    let root: UInt64

    init(_ bench: DriverTestBench, parent: PagingDomain) throws {
        self.bench = bench
        pa = try bench.machine.allocatePages(bytes: 1 << 20)
        contexts = Self.base
        root = Self.base + 0x1000
        try parent.map(iova: Self.base, pa: pa, length: 1 << 20, access: [.read, .write], hugePages: true)
        writeContext()
    }

    func store(_ value: UInt64, ipa: UInt64) {
        bench.machine.pointer(pa + (ipa - Self.base)).storeBytes(of: value, as: UInt64.self)
    }

    func load(ipa: UInt64) -> UInt64 { bench.machine.pointer(pa + (ipa - Self.base)).load(as: UInt64.self) }

    /// CD 0: TTB0 only, 48 bits, ASID 1.
    func writeContext(_ change: (inout ContextDescriptor) -> Void = { _ in }) {
        var context = ContextDescriptor()
        (context.T0SZ, context.IR0, context.OR0, context.SH0) = (16, 1, 1, 3)
        (context.EPD1, context.V, context.AA64) = (true, true, true)
        (context.R, context.A, context.ASET) = (true, true, true)
        (context.IPS, context.ASID, context.TTB0, context.MAIR0) = (4, 1, root, 0xff44)
        change(&context)
        for index in 0..<8 { store(context[index], ipa: contexts + UInt64(index * 8)) }
    }

    /// V, Config = stage 1, one CD; S1DSS, S1CIR, S1COR and S1CSH as a guest's driver sets them.
    var vste: (UInt64, UInt64) { (1 | 5 << 1 | contexts, 0xd6) }

    /// Address of the level 3 entry, tables made on the way.
    func entry(_ va: UInt64) -> UInt64 {
        var table = root
        for level in 0..<3 {
            let slot = table + (va >> UInt64(39 - 9 * level) & 511) * 8
            if load(ipa: slot) & 1 == 0 {
                store(Self.base + next | 3, ipa: slot)
                next += 0x1000
            }
            table = load(ipa: slot) & 0xffff_ffff_f000
        }
        return table + (va >> 12 & 511) * 8
    }

    func map(_ va: UInt64, ipa: UInt64) throws { store(ipa | 0x747, ipa: entry(va)) }
}
