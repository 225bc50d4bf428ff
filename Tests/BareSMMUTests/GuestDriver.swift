import SMMUv3

/// One way to bring an SMMU up, use it, and leave it as it is: what firmware and operating systems do differently.
struct GuestDriver: Sendable, CustomStringConvertible {
    let name: String
    /// A two-level stream table with stage 1, else a linear one with stage 2.
    var isTwoLevel = false
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

    var description: String { name }

    static let all = [
        GuestDriver(name: "linux", isTwoLevel: true, leavesStalls: true),
        GuestDriver(name: "edk2", aborts: true, errs: true),
        GuestDriver(name: "freebsd", isTwoLevel: true, isWide: true, errs: true),
        GuestDriver(name: "hafnium"),
        GuestDriver(name: "crash", isTwoLevel: true, aborts: true, crashes: true),
    ]

    private static let stream: UInt32 = 5
    private static let address: UInt64 = 0x1234_5000

    /// Does all of it.
    ///
    /// - Returns: what it has seen.
    func run(on guest: BareGuest) throws -> [String] {
        guest.clearMemory()
        var seen = ["\(try guest.registers())"]
        seen.append("before: \(try guest.translate(0x1000, stream: Self.stream))")
        try guest.write(.CR0, 0)
        if aborts {
            try guest.write(.GBPA, 1 << 31 | 1 << 20 | guest.read(.GBPA))
            seen.append("aborting: \(try guest.translate(0x1000, stream: Self.stream))")
        }
        try guest.write(.CMDQ_PROD, 0)
        try guest.write(.CMDQ_CONS, 0)
        try acknowledgeEvents(guest, &seen)
        try guest.write(.IRQ_CTRL, 0b101)
        let table = try build(guest)
        try guest.enable(streamTable: table.base, configuration: table.configuration)
        try guest.issue(.CFGI_ALL(), .TLBI_NSNH_ALL(), .SYNC())
        seen.append("\(try guest.registers())")
        try use(guest, table.leaf, &seen)
        seen.append("\(try guest.registers())")
        return seen
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

    private func build(_ guest: BareGuest) throws -> (base: UInt64, configuration: UInt64, leaf: UInt64) {
        let tables = try guest.page()
        var entry = StreamTableEntry()
        entry.V = true
        if isTwoLevel {
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
            (entry.S2T0SZ, entry.S2SL0, entry.S2PS, entry.S2TTB) = (25, 1, 4, tables)
            try guest.map(Self.address, in: tables, leaf: 0x9_8765_4000 | 0x4ff, start: 1)
        }
        let first = try guest.page()
        let leaf = isTwoLevel ? try guest.page() : first
        if isTwoLevel { guest[first] = leaf | 7 }
        guest.store(leaf + UInt64(Self.stream) * 64, entry.words)
        return (first, isTwoLevel ? UInt64(STRTAB_BASE_CFG.twoLevel(log2Size: 16, split: 6)) : 6, leaf)
    }

    private func use(_ guest: BareGuest, _ table: UInt64, _ seen: inout [String]) throws {
        func look(_ what: String, _ address: UInt64, stream: UInt32 = Self.stream) throws {
            seen.append("\(what): \(try guest.translate(address, stream: stream))")
        }
        try look("mapped", Self.address + 0x678)
        try look("not mapped", Self.address + 0x1000)
        try look("no stream", 0, stream: 6)
        seen.append("\((0..<8).map { guest[BareGuest.events + $0 * 8] })")
        guest.store(table + UInt64(Self.stream) * 64, StreamTableEntry().words)
        try look("cached", Self.address)
        if errs {
            try guest.issue(Command(word0: 0xff, word1: 0))
            seen.append("\(try guest.read(.GERROR)) \(try guest.read(.CMDQ_CONS))")
            guest.store(BareGuest.commands + 3 * 16, Command.SYNC().words)
            try guest.write(.GERRORN, try guest.read(.GERROR))
            seen.append("\(try guest.read(.CMDQ_CONS))")
        }
        try guest.issue(.CFGI_STE(streamID: Self.stream), .SYNC())
        try look("gone", Self.address)
        if crashes { try guest.issue(Command(word0: 0xff, word1: 0), .SYNC()) }
    }
}
