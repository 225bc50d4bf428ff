/// An SMMUv3 as software and devices see it: registers, queues and translations.
///
/// It belongs to one thread; its owner serialises register accesses and transactions.
public final class SMMU<Memory: PhysicalMemory> {
    /// The ID registers; they govern all behaviour.
    public let identification: Identification
    /// The geometry that the caches were made with.
    public let geometry: CacheGeometry
    /// Interrupts, stalls, ATS and PRI go there.
    public weak var delegate: (any SMMUDelegate)?
    /// Of the last `.fault`: whether the client device sees an abort, else its access reads zero or is ignored (CD.A).
    public internal(set) var lastFaultAborts = true

    let features: Features
    var memory: Memory
    var registers = RegisterFile()

    // MARK: Caches

    var tlb: TLB
    var spaces = AddressSpaces()
    var streamEntries: ConfigurationCache<StreamTableEntry>
    var contextDescriptors: ConfigurationCache<ContextDescriptor>
    /// STE and CD decoded for the streams in use, direct-mapped; an entry of another epoch is void.
    let contexts: UnsafeMutablePointer<StreamContext>
    var configurationEpoch: UInt64 = 1
    /// Whether any global entry may be in the TLB.
    var hasGlobalEntries = false

    // MARK: Queues

    var stalls: [Stall] = []
    var nextSTAG: UInt16 = 0
    var hasFailedATCInvalidation = false
    var isConsumingCommands = false
    var commandTrace = TraceRing<Command>()
    var eventTrace = TraceRing<EventRecord>()
    var steps: [WalkStep] = []

    static var contextCount: Int { 64 }

    /// A device out of reset.
    ///
    /// - Parameters:
    ///   - memory: the physical address space.
    ///   - identification: the ID registers.
    ///   - geometry: cache sizes.
    /// - Throws: what the model cannot honour, naming the field.
    public init(
        memory: Memory, identification: Identification, geometry: CacheGeometry = .standard
    ) throws(IdentificationError) {
        try identification.validate()
        self.memory = memory
        self.identification = identification
        self.geometry = geometry
        features = Features(identification)
        tlb = TLB(capacity: geometry.tlbEntries)
        streamEntries = ConfigurationCache(capacity: geometry.configurationEntries, filler: StreamTableEntry())
        contextDescriptors = ConfigurationCache(capacity: geometry.configurationEntries, filler: ContextDescriptor())
        contexts = .allocate(capacity: Self.contextCount)
        contexts.initialize(repeating: StreamContext(), count: Self.contextCount)
        // Both reset values are UNKNOWN by architecture: errors show, and broadcasts are ignored until software asks.
        registers.CR2 = CR2.RECINVSID | (features.broadcast ? CR2.PTM : 0)
    }

    deinit {
        contexts.deallocate()
    }

    /// The physical address space, for the owner to change what lies behind it.
    ///
    /// Nothing cached is forgotten: as on silicon, software invalidates.
    public func withMemory<Result>(_ body: (inout Memory) -> Result) -> Result {
        body(&memory)
    }
}

/// A register access that no bus would carry.
public enum MMIOError: Error, Equatable, Sendable {
    /// Only 4 and 8 bytes; 8 only at a 64-bit register.
    case badWidth
    /// Not a multiple of the width.
    case misaligned
    /// Beyond page 1.
    case outOfRange
}
