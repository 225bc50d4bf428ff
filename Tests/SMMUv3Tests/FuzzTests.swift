import SMMUv3
import TestSupport
import Testing

/// Hostile registers, commands and tables: no trap, no hang, bounded work, and a look never differs from the deed.
@Suite struct FuzzTests {
    /// Memory is small so that random addresses meet each other: tables that point at themselves, at queues, at STEs.
    private static let memoryBytes = 1 << 18

    @Test(arguments: 0..<24)
    func hostileSoftware(_ seed: Int) throws {
        var fuzzer = try Fuzzer(seed: UInt64(seed), memoryBytes: Self.memoryBytes)
        for _ in 0..<1500 {
            try fuzzer.step()
        }
        #expect(fuzzer.outcomes.count >= 4, "the generator has lost its bite: \(fuzzer.outcomes)")
    }

    /// Tables that point at themselves end after as many levels as there are.
    @Test func selfReferringTables() throws {
        let memory = FuzzMemory(bytes: Self.memoryBytes)
        let smmu = try SMMU(memory: memory, identification: .laboratory)
        for address in stride(from: UInt64(0x1000), to: 0x2000, by: 8) {
            memory[address] = 0x1000 | 0x447
        }
        var cd = ContextDescriptor()
        (cd.V, cd.AA64, cd.A, cd.R, cd.T0SZ, cd.IPS, cd.EPD1, cd.TTB0) = (true, true, true, true, 16, 4, true, 0x1000)
        var ste = StreamTableEntry()
        (ste.V, ste.Config, ste.S1ContextPtr) = (true, StreamConfiguration.nested.rawValue, 0x3000)
        (ste.S2AA64, ste.S2T0SZ, ste.S2SL0, ste.S2PS, ste.S2TTB, ste.S2R) = (true, 25, 1, 4, 0x1000, true)
        for index in 0..<8 {
            memory[0x2000 + UInt64(index) * 8] = ste[index]
            memory[0x1000 + UInt64(index) * 8] = cd[index]
        }
        try smmu.writeRegister(Register.STRTAB_BASE.rawValue, width: 8, value: 0x2000)
        try smmu.writeRegister(Register.CR0.rawValue, width: 4, value: 1)
        let before = memory.loads
        _ = smmu.translate(Transaction(streamID: 0, address: 0x12_3456_7000, access: .write))
        #expect(memory.loads - before <= 8 + 8 + 6 * 4 + 4)
    }

    /// The largest StreamIDs and tables.
    @Test func hugeStreamTables() throws {
        let words = Identification.laboratory.with(\.IDR1, 5, 0, 32)
        for (base, configuration) in [(UInt64.max, UInt64(0x3f)), (0, 0x102bf), (.max, 0x1018f), (0, 0x3ffff)] {
            let smmu = try SMMU(memory: FuzzMemory(bytes: 4096), identification: words)
            try smmu.writeRegister(Register.STRTAB_BASE.rawValue, width: 8, value: base)
            try smmu.writeRegister(Register.STRTAB_BASE_CFG.rawValue, width: 4, value: configuration)
            try smmu.writeRegister(Register.CR0.rawValue, width: 4, value: 1)
            for streamID in [UInt32(0), 1, 0xffff, 0x8000_0000, .max] {
                let translation = smmu.translate(Transaction(streamID: streamID, address: 0, access: .read))
                #expect(translation.type != nil)
            }
        }
    }
}

/// One run of random software and devices.
private struct Fuzzer {
    private var random: SeededGenerator
    private let memory: FuzzMemory
    private let memoryBytes: UInt64
    private let smmu: SMMU<FuzzMemory>
    private var producer: UInt64 = 0
    /// What translations came to, to see that the generator reaches things.
    private(set) var outcomes: Set<String> = []

    init(seed: UInt64, memoryBytes: Int) throws {
        random = SeededGenerator(seed: seed)
        self.memoryBytes = UInt64(memoryBytes)
        memory = FuzzMemory(bytes: memoryBytes)
        smmu = try SMMU(
            memory: memory, identification: Self.identification(&random),
            geometry: seed % 3 == 0 ? .neverEvicting : CacheGeometry(tlbEntries: 32, configurationEntries: 4))
        for address in stride(from: UInt64(0), to: self.memoryBytes, by: 8) {
            memory[address] = word()
        }
        try bringUp()
    }

    private static func identification(_ random: inout SeededGenerator) -> Identification {
        var words = Identification.laboratory.with(\.IDR5, 6, 4, 7)
        let choices: [(WritableKeyPath<Identification, UInt32>, UInt32, UInt32, [UInt32])] = [
            (\.IDR0, 1, 0, [1, 2, 3, 3, 3]), (\.IDR0, 7, 6, [0, 1, 2]), (\.IDR0, 9, 9, [0, 1]), (\.IDR0, 5, 5, [0, 1]),
            (\.IDR0, 12, 12, [0, 1]), (\.IDR0, 18, 17, [0, 1, 2, 3]), (\.IDR0, 25, 24, [0, 0, 1, 2]),
            (\.IDR1, 10, 6, [0, 4, 20]), (\.IDR1, 5, 0, [4, 16, 32]), (\.IDR1, 26, 26, [0, 1]),
            (\.IDR3, 9, 8, [0, 1, 2, 3]), (\.IDR3, 10, 10, [0, 1]), (\.IDR3, 13, 13, [0, 1]),
            (\.IDR5, 2, 0, [0, 2, 4, 5, 6]),
            (\.IDR5, 11, 10, [0, 1]), (\.IDR5, 31, 16, [1, 7]),
        ]
        for (word, high, low, values) in choices {
            words = words.with(word, high, low, values.randomElement(using: &random) ?? 0)
        }
        return words
    }

    private mutating func bringUp() throws {
        try write(.STRTAB_BASE, 0x8000)
        try write(.STRTAB_BASE_CFG, random.next() & 1 == 0 ? 6 : 0x10188)
        try write(.CMDQ_BASE, 0x4000 | 6)
        try write(.EVENTQ_BASE, 0x5000 | 4)
        try write(.PRIQ_BASE, 0x6000 | 3)
        try write(.CR2, random.next() & 0xf)
        try write(.CR0, 0x1f)
    }

    private mutating func write(_ register: Register, _ value: UInt64) throws {
        try smmu.writeRegister(register.rawValue, width: register.width, value: value)
    }

    /// Words that look like what the SMMU expects to find.
    private mutating func word() -> UInt64 {
        let address = random.next() % memoryBytes & ~0xfff
        let attributes = random.next() & 0x00f8_0000_0000_0fff
        switch random.next() % 8 {
        case 0, 1: return address | 3
        case 2, 3: return address | attributes | 0x403
        case 4: return address | attributes | 0x441
        case 5: return address | random.next() & 0x3f | 1
        case 6: return random.next()
        default: return 0
        }
    }

    private mutating func plantSTE() {
        var ste = StreamTableEntry()
        ste.word0 = random.next() & 0xf800_0000_0000_003f | random.next() % memoryBytes & ~0x3f
        (ste.V, ste.Config) = (true, 4 + random.next() % 4)
        ste.S1CDMax = random.next() % 5
        ste.word1 = random.next() & 0xf000_c003
        (ste.EATS, ste.PRIVCFG, ste.INSTCFG) = (random.next() % 3, random.next(), random.next())
        (ste.STRW, ste.S1STALLD) = (random.next() & 2, random.next() % 4 == 0)
        ste.S2VMID = random.next() % 3
        (ste.S2AA64, ste.S2TG, ste.S2PS) = (true, random.next() % 3, random.next() % 8)
        (ste.S2T0SZ, ste.S2SL0) = (16 + random.next() % 24, random.next() % 4)
        (ste.S2AFFD, ste.S2PTW, ste.S2HA, ste.S2HD) = (bit(), bit(), bit(), bit())
        (ste.S2S, ste.S2R, ste.S2TTB) = (random.next() % 4 == 0, bit(), random.next() % memoryBytes)
        let slot = 0x8000 + random.next() % 64 * 64
        for index in 0..<8 {
            memory[slot + UInt64(index) * 8] = ste[index]
        }
    }

    private mutating func plantCD() {
        var cd = ContextDescriptor()
        cd.word0 = random.next()
        (cd.V, cd.AA64, cd.ENDI, cd.ASID) = (true, true, false, random.next() % 4)
        (cd.T0SZ, cd.T1SZ, cd.TG0, cd.TG1) = (
            16 + random.next() % 24, 16 + random.next() % 24, random.next() % 3, 1 + random.next() % 3
        )
        (cd.S, cd.TTB0, cd.TTB1) = (random.next() % 4 == 0, random.next() % memoryBytes, random.next() % memoryBytes)
        (cd.HAD0, cd.HAD1, cd.E0PD0, cd.EPAN, cd.MAIR0) = (bit(), bit(), bit(), bit(), random.next())
        let slot = random.next() % memoryBytes & ~0x3f
        for index in 0..<8 {
            memory[slot + UInt64(index) * 8] = cd[index]
        }
    }

    private mutating func bit() -> Bool { random.next() & 1 != 0 }

    mutating func step() throws {
        switch random.next() % 16 {
        case 0: plantSTE()
        case 1: plantCD()
        case 2: memory[random.next() % memoryBytes & ~7] = word()
        case 3: try randomRegister()
        case 4, 5: try randomCommands()
        case 6: randomRequest()
        case 7: try recover()
        default: translate()
        }
    }

    private mutating func randomRegister() throws {
        let offset =
            bit()
            ? (Register.allCases.randomElement(using: &random)?.rawValue ?? 0) : UInt32(random.next() % 0x2_0010)
        let width = [4, 4, 8, 2].randomElement(using: &random) ?? 4
        do throws(MMIOError) {
            try smmu.writeRegister(offset, width: width, value: random.next())
            _ = try smmu.readRegister(offset, width: width)
        } catch {
            outcomes.insert("\(error)")
        }
    }

    private mutating func recover() throws {
        try write(.CR0, random.next() % 4 == 0 ? 0 : 0x1f)
        try bringUp()
        try write(.GERRORN, smmu.value(of: .GERROR))
        try write(.EVENTQ_CONS, smmu.value(of: .EVENTQ_PROD))
        try write(.PRIQ_CONS, smmu.value(of: .PRIQ_PROD))
    }

    private mutating func randomCommands() throws {
        let base = smmu.value(of: .CMDQ_BASE) & 0x3ffe0
        for _ in 0..<random.next() % 5 {
            let opcode = CommandOpcode.allCases.randomElement(using: &random)?.rawValue ?? 0
            let slot = base + producer % 64 * 16
            memory[slot] = bit() ? UInt64(opcode) | random.next() << 12 : random.next()
            memory[slot + 8] = random.next() & (bit() ? .max : 0x3ffff)
            producer += 1
        }
        let loads = memory.loads
        try write(.CMDQ_PROD, bit() ? producer : random.next())
        #expect(memory.loads - loads <= 2 << 17, "commands beyond the queue")
    }

    private mutating func randomRequest() {
        _ = smmu.receive(PageRequest(word0: random.next(), word1: random.next()))
    }

    private mutating func translate() {
        var transaction = Transaction(
            streamID: UInt32(random.next() % 64),
            address: random.next() % 8 == 0 ? random.next() : random.next() & 0xf_ffff_ffff,
            access: [.read, .write, .execute].randomElement(using: &random) ?? .read, privileged: bit())
        if random.next() % 3 == 0 {
            transaction.substreamID = UInt32(random.next() % 20)
        }
        if random.next() % 8 == 0 {
            transaction.addressType = bit() ? .translated : .translationRequest
        }
        let stores = memory.stores
        let looked = smmu.inspect(transaction, trace: bit()).translation
        #expect(memory.stores == stores, "a look stored something")
        let loads = memory.loads
        let translation = smmu.translate(transaction)
        // STE, CD with its level 1, then at most five by six table words, sixteen times if updates are lost.
        #expect(memory.loads - loads <= 18 + 40 * 16)
        outcomes.insert(translation.type?.name ?? translation.termination?.rawValue ?? "ok")
        if transaction.addressType == .untranslated {
            compare(looked, translation, transaction)
        }
    }

    private func compare(_ looked: Translation, _ translation: Translation, _ transaction: Transaction) {
        switch (looked, translation) {
        case (.ok(let first), .ok(let second)):
            #expect(first.address == second.address && first.pageSize == second.pageSize, "\(transaction)")
        case (.fault(let first, _), .fault(let second, _)): #expect(first == second, "\(transaction)")
        case (.terminated(let first), .terminated(let second)): #expect(first == second)
        case (.stalled, .stalled), (.stalled, .fault): break
        default: Issue.record("looked \(looked), was \(translation) for \(transaction)")
        }
    }
}
