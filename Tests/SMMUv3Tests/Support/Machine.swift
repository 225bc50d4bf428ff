import SMMUv3

/// An SMMU in a small machine, brought up as software does.
final class Machine: SMMUDelegate {
    let memory = SparseMemory(base: 0, size: 1 << 32)
    let smmu: SMMU<SparseMemory>
    private var top: UInt64 = 0x100_0000
    private var commandIndex: UInt32 = 0

    static let streamTable: UInt64 = 0x10_0000
    static let commandQueue: UInt64 = 0x20_0000
    static let eventQueue: UInt64 = 0x21_0000
    static let priQueue: UInt64 = 0x22_0000
    /// log2 of the entries of the queues.
    static let log2Commands: UInt32 = 6
    static let log2Events: UInt32 = 3

    // What the delegate heard.
    var interrupts: [Interrupt] = []
    var resolutions: [StallResolution] = []
    var invalidations: [ATCInvalidation] = []
    var answers: [PageRequestAnswer] = []
    var answersInvalidations = true

    init(
        _ identification: Identification = .laboratory, geometry: CacheGeometry = .neverEvicting,
        CR2: UInt64 = UInt64(SMMUv3.CR2.RECINVSID), enable: Bool = true
    ) throws {
        smmu = try SMMU(memory: memory, identification: identification, geometry: geometry)
        smmu.delegate = self
        try write(.STRTAB_BASE, Self.streamTable)
        try write(.STRTAB_BASE_CFG, UInt64(STRTAB_BASE_CFG.linear(log2Size: 8)))
        try write(.CMDQ_BASE, Self.commandQueue | UInt64(Self.log2Commands))
        try write(.EVENTQ_BASE, Self.eventQueue | UInt64(Self.log2Events))
        try write(.PRIQ_BASE, Self.priQueue | 2)
        try write(.CR2, CR2)
        try write(.IRQ_CTRL, 7)
        if enable {
            try write(.CR0, 0x1f)
        }
    }

    // MARK: Registers and queues

    func write(_ register: Register, _ value: UInt64) throws {
        try smmu.writeRegister(register.rawValue, width: register.width, value: value)
    }

    func read(_ register: Register) -> UInt64 {
        smmu.value(of: register)
    }

    /// Puts commands into the queue and rings the bell.
    func submit(_ commands: Command...) throws {
        for command in commands {
            let slot = UInt64(commandIndex & (1 << Self.log2Commands - 1)) * 16
            memory[Self.commandQueue + slot] = command.word0
            memory[Self.commandQueue + slot + 8] = command.word1
            commandIndex = (commandIndex + 1) & (2 << Self.log2Commands - 1)
            try write(.CMDQ_PROD, UInt64(commandIndex))
        }
    }

    /// The error of the command queue, 0 while none is active.
    var commandError: UInt64 {
        (read(.GERROR) ^ read(.GERRORN)) & 1 == 0 ? 0 : read(.CMDQ_CONS) >> 24
    }

    /// Skips the failed command and acknowledges the error.
    func recover() throws {
        let consumer = UInt32(read(.CMDQ_CONS)) & 0xfffff
        let slot = UInt64(consumer & (1 << Self.log2Commands - 1)) * 16
        let nothing = Command.SYNC()
        memory[Self.commandQueue + slot] = nothing.word0
        memory[Self.commandQueue + slot + 8] = nothing.word1
        try write(.GERRORN, read(.GERROR))
    }

    /// Takes every record out of the event queue.
    func events() throws -> [EventRecord] {
        var records: [EventRecord] = []
        let mask: UInt64 = 2 << UInt64(Self.log2Events) - 1
        var consumer = read(.EVENTQ_CONS) & mask
        while consumer != read(.EVENTQ_PROD) & mask {
            let address = Self.eventQueue + (consumer & (mask >> 1)) * 32
            records.append(
                EventRecord(
                    word0: memory[address], word1: memory[address + 8], word2: memory[address + 16],
                    word3: memory[address + 24]))
            consumer = (consumer + 1) & mask
        }
        try write(.EVENTQ_CONS, read(.EVENTQ_PROD) & 0x8000_0000 | consumer)
        return records
    }

    // MARK: Structures

    func allocate(_ bytes: UInt64 = 4096) -> UInt64 {
        top = (top + bytes - 1) & ~(bytes - 1)
        defer { top += bytes }
        return top
    }

    func set(_ ste: StreamTableEntry, stream: UInt32) {
        for (index, word) in ste.words.enumerated() {
            memory[Self.streamTable + UInt64(stream) * 64 + UInt64(index) * 8] = word
        }
    }

    func set(_ cd: ContextDescriptor, at address: UInt64) {
        for (index, word) in cd.words.enumerated() {
            memory[address + UInt64(index) * 8] = word
        }
    }

    /// A valid CD for 48-bit VAs in 4 KiB pages.
    func context(_ root: UInt64, asid: UInt64 = 1) -> ContextDescriptor {
        var cd = ContextDescriptor()
        (cd.V, cd.AA64, cd.A, cd.R, cd.EPD1) = (true, true, true, true, true)
        (cd.T0SZ, cd.IPS, cd.TTB0, cd.ASID, cd.MAIR0) = (16, 4, root, asid, 0xff)
        return cd
    }

    /// A valid STE whose stage 1 starts at one CD.
    func stage1(_ cd: UInt64) -> StreamTableEntry {
        var ste = StreamTableEntry()
        (ste.V, ste.Config, ste.S1ContextPtr) = (true, StreamConfiguration.stage1.rawValue, cd)
        return ste
    }

    /// A valid STE with a stage 2 of 40 bits, starting at level 1 with two tables.
    func stage2(_ root: UInt64, vmid: UInt64 = 1) -> StreamTableEntry {
        var ste = StreamTableEntry()
        (ste.V, ste.Config, ste.S2AA64, ste.S2R) = (true, StreamConfiguration.stage2.rawValue, true, true)
        (ste.S2T0SZ, ste.S2SL0, ste.S2PS, ste.S2TTB, ste.S2VMID) = (24, 1, 4, root, vmid)
        return ste
    }

    static let page = PageDescriptor.AF | PageDescriptor.nG | PageDescriptor.AP1
    static let stage2Page =
        PageDescriptor.AF | PageDescriptor.S2AP0 | PageDescriptor.S2AP1 | PageDescriptor.MemAttr(0xf)

    /// Maps one leaf; returns the address of its descriptor.
    @discardableResult
    func map(
        _ root: UInt64, _ input: UInt64, _ output: UInt64, _ attributes: UInt64 = Machine.page, start: UInt64 = 0,
        leaf: UInt64 = 3
    ) -> UInt64 {
        var table = root
        for level in start..<leaf {
            let entry = table + (input >> (39 - 9 * level) & (level == start ? 1023 : 511)) * 8
            if memory[entry] == 0 {
                memory[entry] = allocate() | 3
            }
            table = memory[entry] & 0xffff_ffff_f000
        }
        let entry = table + (input >> (39 - 9 * leaf) & (leaf == start ? 1023 : 511)) * 8
        memory[entry] = output | attributes | (leaf == 3 ? 3 : 1)
        return entry
    }

    // MARK: Transactions

    func translate(
        _ address: UInt64, stream: UInt32 = 1, substream: UInt32? = nil, _ access: Access = .read,
        privileged: Bool = false, _ type: AddressType = .untranslated
    ) -> Translation {
        smmu.translate(
            Transaction(
                streamID: stream, substreamID: substream, address: address, access: access, privileged: privileged,
                addressType: type))
    }

    // MARK: Delegate

    func interruptRaised(_ interrupt: Interrupt) { interrupts.append(interrupt) }

    func stallResolved(_ resolution: StallResolution) { resolutions.append(resolution) }

    func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
        invalidations.append(invalidation)
        return answersInvalidations
    }

    func pageRequestAnswered(_ answer: PageRequestAnswer) { answers.append(answer) }
}

extension Translation {
    /// The output address if it succeeded.
    var address: UInt64? {
        if case .ok(let output) = self { output.address } else { nil }
    }

    /// The event of a fault or a stall.
    var event: EventRecord? {
        switch self {
        case .fault(let event, _), .stalled(_, let event, _), .held(let event): event
        default: nil
        }
    }

    var type: EventType? { event?.type }

    var isRecorded: Bool {
        if case .fault(_, let recorded) = self { recorded } else { false }
    }

    var termination: Termination? {
        if case .terminated(let reason) = self { reason } else { nil }
    }
}

extension Identification {
    /// The laboratory with some bits of its words replaced.
    func with(_ word: WritableKeyPath<Identification, UInt32>, _ high: UInt32, _ low: UInt32, _ value: UInt32) -> Self {
        var copy = self
        let mask = UInt32((UInt64(1) << UInt64(high - low + 1) - 1) << UInt64(low))
        copy[keyPath: word] = copy[keyPath: word] & ~mask | (value << low & mask)
        return copy
    }
}
