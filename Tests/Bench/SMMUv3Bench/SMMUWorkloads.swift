import SMMUv3

/// Physical memory as one flat allocation, as the C reference has it.
struct FlatMemory: PhysicalMemory {
    let base: UnsafeMutableRawPointer
    let size: UInt64

    @inline(__always)
    func load64(_ address: UInt64) -> UInt64? {
        address &+ 8 <= size ? base.load(fromByteOffset: Int(address), as: UInt64.self) : nil
    }

    @inline(__always)
    func store64(_ address: UInt64, _ value: UInt64) -> Bool {
        guard address &+ 8 <= size else {
            return false
        }
        base.storeBytes(of: value, toByteOffset: Int(address), as: UInt64.self)
        return true
    }

    @inline(__always)
    func store32(_ address: UInt64, _ value: UInt32) -> Bool {
        guard address &+ 4 <= size else {
            return false
        }
        base.storeBytes(of: value, toByteOffset: Int(address), as: UInt32.self)
        return true
    }

    func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        guard let old = load64(address) else {
            return nil
        }
        return old == expected && store64(address, desired)
    }
}

/// The three workloads of `smmu_reference.c` on the device model: TLB hit, uncached stage 1 walk, uncached nested walk.
final class SMMUWorkloads {
    private static let memorySize: UInt64 = 1 << 30
    private static let pageCount = 65536
    private let base: UnsafeMutableRawPointer
    private let memory: FlatMemory
    private let smmu: SMMU<FlatMemory>
    private var top: UInt64 = 0x100000
    private var pages: [UInt64] = []
    private var order: [Int] = []

    /// The streams that the workloads use.
    private static let stage1Stream: UInt32 = 1
    private static let nestedStream: UInt32 = 2

    init() throws {
        base = .allocate(byteCount: Int(Self.memorySize), alignment: 4096)
        memory = FlatMemory(base: base, size: Self.memorySize)
        smmu = try SMMU(memory: memory, identification: .laboratory)
        for index in 0..<Self.pageCount {
            pages.append(0x100_0000_0000 + UInt64(index / 64) * 0x3f7c_0000 + UInt64(index % 64) * 4096)
        }
        order = Array(0..<Self.pageCount)
        var random: UInt64 = 88_172_645_463_325_252
        for index in stride(from: Self.pageCount - 1, to: 0, by: -1) {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            order.swapAt(index, Int(random % UInt64(index + 1)))
        }
        try setUp()
    }

    deinit {
        base.deallocate()
    }

    // MARK: Workloads

    /// Hits in the TLB, 128 pages round robin.
    func hit(_ count: Int) -> UInt64 { run(count, Self.stage1Stream, pages: 128) }

    /// Stage 1 misses over 64 Ki pages: a walk of four levels and a fill each.
    func walk(_ count: Int) -> UInt64 { run(count, Self.stage1Stream, pages: Self.pageCount) }

    /// The same nested.
    func nestedWalk(_ count: Int) -> UInt64 { run(count, Self.nestedStream, pages: Self.pageCount) }

    private func run(_ count: Int, _ stream: UInt32, pages limit: Int) -> UInt64 {
        var sum: UInt64 = 0
        order.withUnsafeBufferPointer { order in
            pages.withUnsafeBufferPointer { pages in
                for index in 0..<count {
                    let page = pages[order[index & (limit - 1)]]
                    let transaction = Transaction(streamID: stream, address: page + 16, access: .write)
                    if case .ok(let output) = smmu.translate(transaction) {
                        sum &+= output.address
                    }
                }
            }
        }
        return sum
    }

    /// The cache statistics, to show that a workload is what it claims to be.
    var statistics: CacheStatistics { smmu.cacheView(limit: 0).tlb }

    // MARK: Tables

    private func newTable(_ count: UInt64 = 1) -> UInt64 {
        let bytes = 4096 * count
        top = (top + bytes - 1) & ~(bytes - 1)
        let table = top
        top += bytes
        (base + Int(table)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(bytes))
        return table
    }

    private func word(_ address: UInt64) -> UInt64 { base.load(fromByteOffset: Int(address), as: UInt64.self) }

    private func set(_ address: UInt64, _ value: UInt64) {
        base.storeBytes(of: value, toByteOffset: Int(address), as: UInt64.self)
    }

    private func map(_ root: UInt64, _ input: UInt64, _ output: UInt64, start: UInt64, attributes: UInt64) {
        var table = root
        for level in start..<3 {
            let mask: UInt64 = level == start ? 1023 : 511
            let entry = table + (input >> (39 - 9 * level) & mask) * 8
            if word(entry) == 0 {
                set(entry, newTable() | 3)
            }
            table = word(entry) & 0xffff_ffff_f000
        }
        set(table + (input >> 12 & 511) * 8, output | attributes | PageDescriptor.AF | 3)
    }

    private func setUp() throws {
        let root = newTable()
        for index in 0..<Self.pageCount {
            map(
                root, pages[index], 0x4000_0000 + UInt64(index) * 4096, start: 0,
                attributes: PageDescriptor.AP1 | PageDescriptor.nG)
        }
        let stage2 = newTable(2)
        for page in 0..<UInt64(2 << 18) {
            map(stage2, page << 12, page << 12, start: 1, attributes: 3 << 6)
        }
        let streamTable = newTable()
        let contexts = newTable()
        let commands = newTable()
        var cd = ContextDescriptor()
        (cd.V, cd.AA64, cd.A, cd.R, cd.T0SZ, cd.IPS, cd.EPD1) = (true, true, true, true, 16, 4, true)
        (cd.TTB0, cd.ASID) = (root, 1)
        for (index, value) in cd.words.enumerated() {
            set(contexts + UInt64(index) * 8, value)
        }
        var ste = StreamTableEntry()
        (ste.V, ste.Config, ste.S1ContextPtr) = (true, StreamConfiguration.stage1.rawValue, contexts)
        store(ste, streamTable, Self.stage1Stream)
        ste.Config = StreamConfiguration.nested.rawValue
        (ste.S2AA64, ste.S2T0SZ, ste.S2SL0, ste.S2PS, ste.S2TTB) = (true, 24, 1, 4, stage2)
        (ste.S2VMID, ste.S2R) = (1, true)
        store(ste, streamTable, Self.nestedStream)
        try smmu.writeRegister(Register.STRTAB_BASE.rawValue, width: 8, value: streamTable)
        try smmu.writeRegister(
            Register.STRTAB_BASE_CFG.rawValue, width: 4, value: UInt64(STRTAB_BASE_CFG.linear(log2Size: 4)))
        try smmu.writeRegister(Register.CMDQ_BASE.rawValue, width: 8, value: commands | 4)
        try smmu.writeRegister(Register.CR0.rawValue, width: 4, value: UInt64(CR0.SMMUEN | CR0.CMDQEN))
    }

    private func store(_ ste: StreamTableEntry, _ table: UInt64, _ streamID: UInt32) {
        for (index, value) in ste.words.enumerated() {
            set(table + UInt64(streamID) * 64 + UInt64(index) * 8, value)
        }
    }
}
