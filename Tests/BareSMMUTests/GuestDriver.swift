import SMMUv3

/// One way to bring an SMMU up, use it, and leave it as it is: what firmware, hypervisors and operating systems do
/// differently.
struct GuestDriver: Sendable, CustomStringConvertible {
    /// How the registers that enable it are written.
    enum Start: Sendable {
        /// CR0 as a whole.
        case atOnce
        /// Commands, what is to be forgotten, events, then the SMMU; CR0ACK is looked at each time.
        case inSteps
    }

    let name: String
    /// Stage 1 with a CD, else stage 2.
    var hasStage1 = false
    /// SPLIT of a two-level stream table; nil: a linear one.
    var split: UInt32?
    var start = Start.atOnce
    /// All traffic is aborted first, by GBPA.
    var aborts = false
    /// Pairs of 32-bit registers are accessed with 8 bytes.
    var isWide = false
    /// Writes a command that is none, and acknowledges the error.
    var errs = false
    /// Leaves faults in the event queue and a transaction that stalls.
    var leavesStalls = false
    /// Stops in the middle: an error is not acknowledged, commands wait behind it.
    var crashes = false
    /// The event queue stays off.
    var isDeaf = false
    /// Looks at registers that only Secure software has, and waits for what they never say.
    var looksSecure = false
    /// CMD_SYNC writes to memory when it is done.
    var waitsForMessage = false
    /// What EL2 keeps is forgotten, too.
    var forgetsEL2 = false
    /// Turns everything off at the end.
    var disables = false
    /// CR1 and CR2, if they are written.
    var attributes: (CR1: UInt64, CR2: UInt64)?
    /// Reads all of the page of counters.
    var looksAtCounters = false

    var description: String { name }

    private static let inner: UInt64 = 0xd75

    static let all = [
        GuestDriver(
            name: "linux", hasStage1: true, split: 8, start: .inSteps, leavesStalls: true, forgetsEL2: true,
            attributes: (inner, 0b111), looksAtCounters: true),
        GuestDriver(
            name: "linux, crash kernel", hasStage1: true, split: 8, start: .inSteps, aborts: true, forgetsEL2: true,
            attributes: (inner, 0b110)),
        GuestDriver(name: "edk2", hasStage1: true, aborts: true, errs: true, disables: true),
        GuestDriver(name: "mu", start: .inSteps, aborts: true, errs: true, attributes: (inner, 2)),
        GuestDriver(
            name: "freebsd", hasStage1: true, split: 8, start: .inSteps, isWide: true, errs: true,
            waitsForMessage: true, attributes: (inner, 0b110)),
        GuestDriver(name: "hafnium", start: .inSteps, attributes: (inner, 2)),
        GuestDriver(
            name: "xen", split: 8, start: .inSteps, aborts: true, leavesStalls: true, forgetsEL2: true,
            attributes: (inner, 0b111)),
        GuestDriver(name: "jailhouse", split: 8, start: .inSteps, disables: true, attributes: (inner, 0b110)),
        GuestDriver(name: "bao", errs: true, isDeaf: true, attributes: (inner, 0)),
        GuestDriver(name: "hvisor", start: .inSteps, attributes: (inner, 2)),
        GuestDriver(
            name: "pkvm", split: 8, start: .inSteps, aborts: true, isDeaf: true, forgetsEL2: true,
            attributes: (inner, 0b110)),
        GuestDriver(name: "fiasco", hasStage1: true, split: 6, errs: true, attributes: (inner, 0b10)),
        GuestDriver(name: "tf-a", aborts: true, isDeaf: true, looksSecure: true, disables: true),
        GuestDriver(
            name: "sysarch-acs", hasStage1: true, split: 10, start: .inSteps, isDeaf: true, disables: true,
            looksAtCounters: true),
        GuestDriver(name: "crash", hasStage1: true, split: 6, aborts: true, crashes: true),
    ]

    private static let stream: UInt32 = 5
    private static let address: UInt64 = 0x1234_5000

    /// Does all of it.
    ///
    /// - Returns: what it has seen.
    func run(on guest: BareGuest) throws -> [String] {
        guest.clearMemory()
        var seen = ["\(try guest.registers())"]
        if looksSecure { try lookSecure(guest, &seen) }
        if looksAtCounters { seen.append("\(try guest.counters())") }
        seen.append("before: \(try guest.translate(0x1000, stream: Self.stream))")
        try guest.write(.CR0, 0)
        if aborts {
            try guest.write(.GBPA, 1 << 31 | 1 << 20 | guest.read(.GBPA))
            seen.append("aborting: \(try guest.translate(0x1000, stream: Self.stream))")
        }
        if let attributes {
            try guest.write(.CR1, attributes.CR1)
            try guest.write(.CR2, attributes.CR2)
        }
        try guest.write(.CMDQ_PROD, 0)
        try guest.write(.CMDQ_CONS, 0)
        try acknowledgeEvents(guest, &seen)
        try guest.write(.IRQ_CTRL, isDeaf ? 0 : 0b101)
        let table = try build(guest)
        try enable(guest, table.base, table.configuration, &seen)
        seen.append("\(try guest.registers())")
        try use(guest, table.leaf, &seen)
        seen.append("\(try guest.registers())")
        if disables {
            try guest.write(.CR0, 0)
            seen.append("after: \(try guest.translate(0x1000, stream: Self.stream)) \(try guest.registers())")
        }
        return seen
    }

    // MARK: Bringing up

    /// S_IDR1, S_INIT and S_GBPA: nothing is there for Non-secure software.
    private func lookSecure(_ guest: BareGuest, _ seen: inout [String]) throws {
        for offset in [0x8004, 0x803c, 0x8044] as [UInt64] {
            try guest.write(at: offset, size: 4, 1 << 31 | 1)
            seen.append("secure: \(try guest.models.mmioRead(guest.vsmmu, offset: offset, size: 4))")
        }
    }

    private func acknowledgeEvents(_ guest: BareGuest, _ seen: inout [String]) throws {
        let producer = UInt64(Register.EVENTQ_PROD.rawValue)
        guard isWide else {
            try guest.write(.EVENTQ_PROD, 0)
            return try guest.write(.EVENTQ_CONS, 0)
        }
        seen.append("pair: \(try guest.models.mmioRead(guest.vsmmu, offset: producer, size: 8))")
        try guest.write(at: producer, size: 8, 0)
    }

    private func enable(
        _ guest: BareGuest, _ base: UInt64, _ configuration: UInt64, _ seen: inout [String]
    ) throws {
        try guest.point(to: base, configuration)
        let forgotten = [Command.CFGI_ALL(), .TLBI_NSNH_ALL()] + (forgetsEL2 ? [.TLBI_EL2_ALL()] : [])
        switch start {
        case .atOnce:
            try guest.write(.CR0, isDeaf ? 0b1001 : 0b1101)
            for command in forgotten { try guest.issue(command, .SYNC()) }
        case .inSteps:
            var CR0: UInt64 = 0
            for step in isDeaf ? [8, 1] : [8, 4, 1] as [UInt64] {
                CR0 |= step
                try guest.write(.CR0, CR0)
                seen.append("CR0ACK: \(try guest.read(.CR0ACK))")
                if step == 8 { for command in forgotten { try guest.issue(command, .SYNC()) } }
            }
        }
    }

    private func build(_ guest: BareGuest) throws -> (base: UInt64, configuration: UInt64, leaf: UInt64) {
        let tables = try guest.page()
        var entry = StreamTableEntry()
        entry.V = true
        if hasStage1 {
            let context = try guest.page()
            var descriptor = ContextDescriptor()
            (descriptor.V, descriptor.AA64, descriptor.A, descriptor.R) = (true, true, true, true)
            (descriptor.EPD1, descriptor.S) = (true, leavesStalls)
            (descriptor.T0SZ, descriptor.IPS, descriptor.ASID, descriptor.TTB0) = (16, 4, 9, tables)
            guest.store(context, descriptor.words)
            (entry.Config, entry.S1ContextPtr) = (StreamConfiguration.stage1.rawValue, context)
            try guest.map(Self.address, in: tables, leaf: 0x9_8765_4000 | 0xf43)
        } else {
            (entry.Config, entry.S2VMID, entry.S2AA64, entry.S2R) = (StreamConfiguration.stage2.rawValue, 3, true, true)
            (entry.S2T0SZ, entry.S2SL0, entry.S2PS, entry.S2TTB, entry.S2S) = (25, 1, 4, tables, leavesStalls)
            try guest.map(Self.address, in: tables, leaf: 0x9_8765_4000 | 0x4ff, start: 1)
        }
        guard let split else {
            let linear = try guest.page()
            guest.store(linear + UInt64(Self.stream) * 64, entry.words)
            return (linear, 6, linear)
        }
        let first = try guest.page(4)
        let leaf = try guest.page(16)
        // Span counts from 1, of 2^(Span - 1) STEs.
        guest[first] = leaf | UInt64(split + 1)
        guest.store(leaf + UInt64(Self.stream) * 64, entry.words)
        return (first, UInt64(STRTAB_BASE_CFG.twoLevel(log2Size: 16, split: split)), leaf)
    }

    // MARK: Using

    private func use(_ guest: BareGuest, _ table: UInt64, _ seen: inout [String]) throws {
        func look(_ what: String, _ address: UInt64, stream: UInt32 = Self.stream) throws {
            let outcome = try guest.translate(address, stream: stream)
            // What a VMM calls a stall is not the guest's to see.
            if case .stalled(_, let fault) = outcome { return seen.append("\(what): stalled, \(fault)") }
            seen.append("\(what): \(outcome)")
        }
        try look("mapped", Self.address + 0x678)
        try look("not mapped", Self.address + 0x1000)
        try look("no stream", 0, stream: 6)
        seen.append("\((0..<8).map { guest[BareGuest.events + $0 * 8] })")
        guest.store(table + UInt64(Self.stream) * 64, StreamTableEntry().words)
        try look("cached", Self.address)
        if errs { try err(guest, &seen) }
        try guest.issue(.CFGI_STE(streamID: Self.stream), sync(guest))
        if waitsForMessage { seen.append("message: \(guest[Self.message])") }
        try look("gone", Self.address)
        if crashes { try guest.issue(Command(word0: 0xff, word1: 0), .SYNC()) }
    }

    /// Of CMD_SYNC; a word behind the last page that drivers take.
    private static let message = BareGuest.base + BareGuest.bytes - 8

    private func sync(_ guest: BareGuest) -> Command {
        guard waitsForMessage else { return .SYNC() }
        guest[Self.message] = 1
        return Command(word0: 1 << 12 | 0x46, word1: Self.message)
    }

    private func err(_ guest: BareGuest, _ seen: inout [String]) throws {
        let place = try guest.read(.CMDQ_PROD) & 0x7f
        try guest.issue(Command(word0: 0xff, word1: 0))
        seen.append("\(try guest.read(.GERROR)) \(try guest.read(.CMDQ_CONS))")
        guest.store(BareGuest.commands + place * 16, Command.SYNC().words)
        try guest.write(.GERRORN, try guest.read(.GERROR))
        seen.append("\(try guest.read(.CMDQ_CONS))")
    }
}

extension BareGuest {
    /// What the page of counters says that is not zero.
    fileprivate func counters() throws -> [UInt64] {
        try stride(from: UInt64(0), to: 0x1000, by: 8).map {
            try models.mmioRead(vsmmu, page: .pmcg0, offset: $0, size: 8)
        }.filter { $0 != 0 }
    }
}
