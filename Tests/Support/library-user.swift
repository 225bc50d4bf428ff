import SMMUv3
import Systemd

/// The memory of a machine with one array of it, from address 0; beyond it is an external abort.
final class Memory: PhysicalMemory {
    private var words = [UInt64](repeating: 0, count: 0x10000 / 8)

    func load64(_ address: UInt64) -> UInt64? {
        words.indices.contains(Int(address / 8)) ? words[Int(address / 8)] : nil
    }

    func store64(_ address: UInt64, _ value: UInt64) -> Bool {
        guard words.indices.contains(Int(address / 8)) else { return false }
        words[Int(address / 8)] = value
        return true
    }

    func store32(_ address: UInt64, _ value: UInt32) -> Bool {
        guard let old = load64(address & ~7) else { return false }
        let shift = (address & 4) * 8
        return store64(address & ~7, old & ~(0xffff_ffff << shift) | UInt64(value) << shift)
    }

    func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        guard let old = load64(address) else { return nil }
        return old == expected && store64(address, desired)
    }

    func store(_ words: [UInt64], at address: UInt64) {
        for (index, word) in words.enumerated() { _ = store64(address + UInt64(index) * 8, word) }
    }
}

let memory = Memory()
let (streamTable, contextDescriptor, rootTable) = (UInt64(0x1000), UInt64(0x2000), UInt64(0x4000))

// StreamID 1 is translated by stage 1: 4 KiB pages, 48-bit input, four levels of tables.
var ste = StreamTableEntry()
(ste.V, ste.Config, ste.S1ContextPtr) = (true, StreamConfiguration.stage1.rawValue, contextDescriptor)
memory.store(ste.words, at: streamTable + 64)
var cd = ContextDescriptor()
(cd.V, cd.AA64, cd.A, cd.R, cd.EPD1) = (true, true, true, true, true)
(cd.T0SZ, cd.IPS, cd.TTB0, cd.ASID, cd.MAIR0) = (16, 4, rootTable, 1, 0xff)
memory.store(cd.words, at: contextDescriptor)

// Page 3 of it is page 0x8000 of the memory.
let table = PageDescriptor.valid | PageDescriptor.tableOrPage
for level in UInt64(0)..<3 {
    memory.store([rootTable + (level + 1) * 0x1000 | table], at: rootTable + level * 0x1000)
}
memory.store([0x8000 | table | PageDescriptor.AF | PageDescriptor.nG | PageDescriptor.AP1], at: rootTable + 0x3018)

let smmu = try SMMU(memory: memory, identification: .laboratory)
let settings: [(Register, UInt64)] = [
    (.STRTAB_BASE, streamTable), (.STRTAB_BASE_CFG, UInt64(STRTAB_BASE_CFG.linear(log2Size: 4))),
    (.CR0, UInt64(CR0.SMMUEN)),
]
for (register, value) in settings {
    try smmu.writeRegister(register.rawValue, width: register.width, value: value)
}

for address in [UInt64(0x3040), 0x5000] {
    let result = smmu.translate(Transaction(streamID: 1, address: address, access: .read))
    switch result {
    case .ok(let output): print("0x\(String(address, radix: 16)) is at 0x\(String(output.address, radix: 16))")
    case .fault(let event, _): print("0x\(String(address, radix: 16)): \(event.type.map { "\($0)" } ?? "?")")
    case .stalled, .held, .terminated: print("0x\(String(address, radix: 16)): \(result)")
    }
}
print("watchdog every \(try Watchdog.interval() ?? 0) microseconds")
