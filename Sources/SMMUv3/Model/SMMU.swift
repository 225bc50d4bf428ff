/// An SMMUv3 as software and devices see it: registers, queues and translations.
///
/// It follows Arm's IHI 0070, issue G.b, whose sections all comments name: SMMUv3.0 to SMMUv3.4, as the ID registers
/// say, without what ``Identification/validate()`` refuses.
///
/// It belongs to one thread; its owner serialises register accesses and transactions.
public final class SMMU<Memory: PhysicalMemory> {
    /// The ID registers; they govern all behaviour.
    public let identification: Identification
    /// The geometry that the caches were made with.
    public let geometry: CacheGeometry
    /// Interrupts, stalls, ATS and PRI go there.
    public weak var delegate: (any SMMUDelegate)?
    /// Whether the delegate is told that configuration was invalidated: who holds nothing back need not know.
    public var reportsConfiguration = true
    /// Of the last `.fault`: whether the client device sees an abort, else its access reads zero or is ignored (CD.A).
    public internal(set) var lastFaultAborts = true

    /// The physical address space; what it holds changes behind the SMMU's back.
    public let memory: Memory

    let features: Features
    /// What every translation touches, in memory of its own: the compiler need not guard its accesses.
    fileprivate let hot: UnsafeMutablePointer<HotState>

    // MARK: Caches

    var streamEntries: ConfigurationCache<StreamTableEntry>
    var contextDescriptors: ConfigurationCache<ContextDescriptor>
    /// STE and CD decoded for the streams in use, direct-mapped; an entry of another epoch is void.
    let contexts: UnsafeMutablePointer<StreamContext>

    // MARK: Queues

    var stalls: [Stall] = []
    var nextSTAG: UInt16 = 0
    /// What becomes of a transaction that finds no place for its stall.
    public var stallOverflow = StallOverflow.terminate
    /// Whether the next transactions may take a place for stalls if they fault: their sender's say, who shares them.
    public var admitsStalls = true
    var hasFailedATCInvalidation = false
    var isConsumingCommands = false
    /// Commands, at least one, that a register write consumes before it returns; ``consumeWaitingCommands()`` goes on
    /// with the rest.
    public var commandsAtOnce = Int.max
    /// How many of those that a register write made visible are left.
    public internal(set) var waitingCommands = 0
    /// Whether the delegate keeps translations itself and has to be told of invalidations.
    public var reportsInvalidations = false
    /// log2 of the largest leaf of stage 1 that stage 2 has mapped in pieces.
    var largestSplit: UInt64 = 0
    /// Whether any context has ignored the top byte of addresses.
    var ignoresTags = false
    var recentTarget = RecentTarget()
    /// The Performance Monitor Counter Group.
    var monitors = MonitorGroup()
    var eventTrace = TraceRing<EventRecord>()
    /// The commands that were consumed, or failed, with ``reportsInvalidations``, numbered from 1.
    public internal(set) var commands = TraceRing<Command>()
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
        streamEntries = ConfigurationCache(capacity: geometry.configurationEntries, filler: StreamTableEntry())
        contextDescriptors = ConfigurationCache(capacity: geometry.configurationEntries, filler: ContextDescriptor())
        contexts = .allocate(capacity: Self.contextCount)
        contexts.initialize(repeating: StreamContext(), count: Self.contextCount)
        hot = .allocate(capacity: 1)
        let walks = TLB(capacity: geometry.tlbEntries)
        hot.initialize(to: HotState(tlb: TLB(capacity: geometry.tlbEntries), walks: walks, contexts: contexts))
        registers = RegisterFile(features)
    }

    deinit {
        contexts.deallocate()
        hot.deinitialize(count: 1)
        hot.deallocate()
    }
}

extension SMMU {
    @inline(__always)
    var registers: RegisterFile {
        _read { yield hot.pointee.registers }
        _modify { yield &hot.pointee.registers }
    }

    @inline(__always)
    var tlb: TLB {
        _read { yield hot.pointee.tlb }
        _modify { yield &hot.pointee.tlb }
    }

    /// Where stage 2 puts the tables of stage 1 and CDs; apart, so that data does not drive it out.
    @inline(__always)
    var walks: TLB {
        _read { yield hot.pointee.walks }
        _modify { yield &hot.pointee.walks }
    }

    @inline(__always)
    var spaces: AddressSpaces {
        _read { yield hot.pointee.spaces }
        _modify {
            hot.pointee.recent.isValid = false
            yield &hot.pointee.spaces
        }
    }

    /// Counts changes of configuration; contexts of an older epoch are void.
    var configurationEpoch: UInt64 { hot.pointee.configurationEpoch }

    /// Makes every context void.
    func renewConfiguration() {
        hot.pointee.recent.isValid = false
        hot.pointee.configurationEpoch &+= 1
    }

    /// The stream that was translated last.
    @inline(__always)
    var recent: RecentStream {
        _read { yield hot.pointee.recent }
        _modify { yield &hot.pointee.recent }
    }

    /// What transactions read and wrote on the way to their translation.
    var accesses: TranslationAccesses { hot.pointee.accesses }

    /// A walk reads or updates a descriptor, but for the quick ones, which transactions that are counted do not take.
    @inline(__always)
    func countWalkAccess() { hot.pointee.accesses.walk &+= 1 }

    /// An L1STD, STE, L1CD or CD is read.
    @inline(__always)
    func countConfigurationAccess() { hot.pointee.accesses.configuration &+= 1 }

    /// The next transaction goes through its configuration.
    func forgetRecentStream() { hot.pointee.recent.isValid = false }

    /// Moves with every change of configuration or tags: both counters only grow.
    @inline(__always)
    var generation: UInt64 { hot.pointee.configurationEpoch &+ hot.pointee.spaces.epoch }

    /// Whether any global entry may be in the TLB.
    @inline(__always)
    var hasGlobalEntries: Bool {
        get { hot.pointee.hasGlobalEntries }
        set { hot.pointee.hasGlobalEntries = newValue }
    }
}

/// A stream whose transactions can go to the TLB at once, as long as neither configuration nor tags change.
struct RecentStream {
    var isValid = false
    var hasSubstream = false
    var streamID: UInt32 = 0
    var substreamID: UInt32 = 0
    var tag: UInt64 = 0
    /// Its decoded configuration.
    var context: UnsafeMutablePointer<StreamContext>

    init(_ context: UnsafeMutablePointer<StreamContext>) {
        self.context = context
    }
}

/// Where the last TLBI by address and ASID led, as long as no tag changes.
struct RecentTarget {
    /// VMID and ASID.
    var names: UInt32 = 0
    /// Of the tags; they begin with 1.
    var epoch: UInt64 = 0
    var target = AddressSpaces.Target()
}

/// Accesses to memory on the way to translations.
struct TranslationAccesses {
    var walk: UInt64 = 0
    var configuration: UInt64 = 0
}

/// What every translation touches.
struct HotState: ~Copyable {
    var recent: RecentStream
    var registers = RegisterFile()
    var tlb: TLB
    var walks: TLB
    var spaces = AddressSpaces()
    var configurationEpoch: UInt64 = 1
    var hasGlobalEntries = false
    var accesses = TranslationAccesses()

    init(tlb: consuming TLB, walks: consuming TLB, contexts: UnsafeMutablePointer<StreamContext>) {
        self.tlb = tlb
        self.walks = walks
        recent = RecentStream(contexts)
    }
}

/// A register access that no bus would carry.
public enum MMIOError: Error, Equatable, Sendable {
    /// Only 4 and 8 bytes.
    case badWidth
    /// Not a multiple of the width.
    case misaligned
}
