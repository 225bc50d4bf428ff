import IOMMU
import SMMUv3
import TestSupport

@testable import BareSMMU
@testable import IOMMUObjects

/// A guest of a bare SMMU: 4 MiB of memory, registers, and a command queue that it waits for.
final class BareGuest {
    /// Where its memory lies.
    static let base: UInt64 = 0x4000_0000
    static let bytes: UInt64 = 1 << 22
    /// Of the command queue, of 2^7 entries, and the event queue, of 2^4.
    static let (commands, events): (UInt64, UInt64) = (base, base + 0x1000)
    let laboratory: Laboratory
    var vsmmu: ObjectID
    let memoryID: ObjectID
    private let memory: MemoryObject
    /// The first byte that ``page(_:)`` has not given out.
    private var free = base + 0x2000
    /// CMDQ_PROD.
    private var producer: UInt64 = 0
    /// Takes what the VMM is told.
    var tell: ([BareSMMUNotice]) -> Void = { _ in }

    init(_ identity: BareIdentity = .standard, overrides: [IDRegister: UInt32] = [:]) throws {
        laboratory = try Laboratory()
        let context = laboratory.context
        vsmmu = try context.models.createVSMMU(identity, overrides: overrides)
        memoryID = try context.createMemory(size: Self.bytes, name: nil, huge: false)
        memory = try context.memory(memoryID)
        try mapMemory()
    }

    /// Its memory is the SMMU's.
    func mapMemory() throws {
        try models.mapVSMMUMemory(vsmmu, memory: memoryID, offset: 0, length: Self.bytes, gpa: Self.base)
    }

    var models: SMMUModels { laboratory.context.models }

    // MARK: Memory

    /// Whole pages of zeros, aligned to their size.
    func page(_ count: UInt64 = 1) throws -> UInt64 {
        let bytes = count * 0x1000
        let start = (free + bytes - 1) / bytes * bytes
        guard start + bytes <= Self.base + Self.bytes else { throw Unexpected("the guest's memory is full") }
        free = start + bytes
        return start
    }

    /// All memory is zero, and free. Nobody writes beyond what was given out.
    func clearMemory() {
        for offset in stride(from: UInt64(0), to: free - Self.base, by: 8) { _ = memory.store64(offset: offset, 0) }
        (free, producer) = (Self.base + 0x2000, 0)
    }

    subscript(address: UInt64) -> UInt64 {
        get { memory.load64(offset: address - Self.base) ?? 0 }
        set { _ = memory.store64(offset: address - Self.base, newValue) }
    }

    func store(_ address: UInt64, _ words: [UInt64]) {
        for (index, word) in words.enumerated() { self[address + UInt64(index) * 8] = word }
    }

    /// Maps one page, or block at a lower level, in a table of the 4 KiB granule with 48 bits of input.
    ///
    /// - Parameter leaf: the descriptor; 0: nothing is mapped.
    func map(_ address: UInt64, in root: UInt64, leaf: UInt64, level: UInt64 = 3, start: UInt64 = 0) throws {
        var table = root
        for step in start..<level {
            let entry = table + (address >> (39 - 9 * step) & 0x1ff) * 8
            if self[entry] & 1 == 0 { self[entry] = try page() | 3 }
            table = self[entry] & 0xf_ffff_f000
        }
        self[table + (address >> (39 - 9 * level) & 0x1ff) * 8] = leaf
    }

    // MARK: Registers

    func write(_ register: Register, _ value: UInt64) throws {
        try write(at: UInt64(register.rawValue), size: register.width, value)
    }

    func write(at offset: UInt64, size: Int, _ value: UInt64) throws {
        try models.write(vsmmu, offset: offset, size: size, value) { [self] in tell($0) }
    }

    func read(_ register: Register) throws -> UInt64 {
        try models.mmioRead(vsmmu, offset: UInt64(register.rawValue), size: register.width)
    }

    /// Every register, as the guest reads it.
    func registers() throws -> [UInt64] { try Register.allCases.map(read) }

    /// Queues without an entry, and the SMMU enabled.
    func enable(streamTable: UInt64, configuration: UInt64) throws {
        try point(to: streamTable, configuration)
        try write(.CR0, 0b1101)
    }

    /// Where table and queues are.
    func point(to streamTable: UInt64, _ configuration: UInt64) throws {
        try write(.STRTAB_BASE, streamTable)
        try write(.STRTAB_BASE_CFG, configuration)
        try write(.CMDQ_BASE, Self.commands | 7)
        try write(.EVENTQ_BASE, Self.events | 4)
    }

    /// Puts commands into the queue and has them consumed.
    func issue(_ commands: Command...) throws { try issue(commands) }

    func issue(_ commands: [Command]) throws {
        for command in commands {
            store(Self.commands + (producer & 0x7f) * 16, command.words)
            producer = (producer + 1) & 0xff
        }
        try write(.CMDQ_PROD, producer)
    }

    func translate(
        _ address: UInt64, stream: UInt32, pasid: UInt32? = nil, access: AccessKind = .read, privileged: Bool = false
    ) throws -> TranslationOutcome {
        try translate(
            TransactionRequest(
                streamID: stream, pasid: pasid, address: address, access: access, privileged: privileged))
    }

    func translate(_ transaction: TransactionRequest) throws -> TranslationOutcome {
        defer { if models.hasNotices { tell(models.takeNotices(of: vsmmu)) } }
        return try models.translateVSMMU(vsmmu, transaction).outcome
    }
}
