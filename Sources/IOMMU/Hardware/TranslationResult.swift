/// A transaction of a device, before an SMMU.
public struct TransactionRequest: Sendable, Equatable {
    // Public, like ``MapRequest``: only public code is inlined across modules, and calls have thousands of them.
    /// Byte address of the access.
    public var address: UInt64
    /// The stream it comes from.
    public var streamID: UInt32
    /// The SubstreamID, 20 bits; nil: none.
    public var pasid: UInt32?
    /// What it does.
    public var access: AccessKind
    /// Whether it is privileged.
    public var privileged: Bool
    /// How ATS takes part in it.
    public var kind: TransactionKind

    /// - Parameters:
    ///   - streamID: the stream it comes from.
    ///   - pasid: 20 bits; nil: none.
    ///   - address: byte address.
    ///   - access: what it does.
    ///   - privileged: whether it is privileged.
    ///   - kind: how ATS takes part in it.
    @inlinable
    public init(
        streamID: UInt32, pasid: UInt32?, address: UInt64, access: AccessKind, privileged: Bool,
        kind: TransactionKind = .untranslated
    ) {
        self.kind = kind
        self.streamID = streamID
        self.pasid = pasid
        self.address = address
        self.access = access
        self.privileged = privileged
    }
}

/// How ATS takes part in a transaction (IHI 0070, 3.9), as requests name it.
public enum TransactionKind: String, Sendable, CaseIterable {
    /// An access at an address that is to be translated.
    case untranslated
    /// A question for a translation, without an access.
    case translationRequest = "translation_request"
    /// An access at an address that the device was given as an answer.
    case translated
}

/// What became of a transaction.
public struct TranslationResult: Sendable, Equatable {
    /// How it ended, or why it waits.
    public var outcome: TranslationOutcome
    /// The TLB answered.
    public var isCached: Bool
    /// The walk, if it was asked for.
    public var steps: [TranslationStep]
    /// What lies behind a termination without an event, where that is known.
    public var cause: FaultCause?

    /// - Parameters:
    ///   - outcome: how it ended.
    ///   - isCached: the TLB answered.
    ///   - steps: the walk.
    @inlinable
    public init(_ outcome: TranslationOutcome, isCached: Bool, steps: [TranslationStep] = []) {
        self.outcome = outcome
        self.isCached = isCached
        self.steps = steps
    }
}

/// How a transaction ended, or why it waits.
public enum TranslationOutcome: Sendable, Equatable {
    /// It proceeds.
    case translated(TranslationOutput)
    /// It faulted, or waits under a stall tag. Boxed: many results are held together, and few of them are faults.
    indirect case fault(FaultDescription)
    /// It waits, under this id, for the guest of a bare SMMU, because of this fault.
    indirect case stalled(UInt64, FaultDescription)
    /// It was terminated without an event, for this reason: a slug.
    indirect case terminated(String)
}

/// Where a transaction goes.
public struct TranslationOutput: Sendable, Equatable {
    /// Physical byte address.
    public var address: UInt64
    /// Bytes of the page or block; 0: nothing translated.
    public var pageSize: UInt64
    /// What the translation permits.
    public var attributes: TranslationAttributes

    /// - Parameters:
    ///   - address: physical byte address.
    ///   - pageSize: bytes of the page or block.
    ///   - attributes: what the translation permits.
    @inlinable
    public init(address: UInt64, pageSize: UInt64, attributes: TranslationAttributes) {
        self.address = address
        self.pageSize = pageSize
        self.attributes = attributes
    }
}

/// Memory type and permissions of a translation.
public struct TranslationAttributes: Sendable, Equatable {
    /// As a byte of MAIR: 0x0? Device, else Normal.
    public var memory: UInt8
    /// SH: 0 none, 2 outer, 3 inner.
    public var shareability: UInt8
    /// Reads are permitted.
    public var isReadable: Bool
    /// Writes are permitted.
    public var isWritable: Bool
    /// Fetches are permitted.
    public var isExecutable: Bool

    /// - Parameters:
    ///   - memory: as a byte of MAIR.
    ///   - shareability: SH.
    ///   - isReadable: reads are permitted.
    ///   - isWritable: writes are permitted.
    ///   - isExecutable: fetches are permitted.
    @inlinable
    public init(memory: UInt8, shareability: UInt8, isReadable: Bool, isWritable: Bool, isExecutable: Bool) {
        self.memory = memory
        self.shareability = shareability
        self.isReadable = isReadable
        self.isWritable = isWritable
        self.isExecutable = isExecutable
    }
}

/// One look into a translation table.
public struct TranslationStep: Sendable, Equatable {
    /// 1 or 2.
    public var stage: Int
    /// -1 to 3.
    public var level: Int
    /// Physical byte address of the table.
    public var table: UInt64
    /// Of the descriptor in it.
    public var index: UInt64
    /// The word that was read.
    public var descriptor: UInt64

    /// - Parameters:
    ///   - stage: 1 or 2.
    ///   - level: of the look-up.
    ///   - table: physical byte address.
    ///   - index: of the descriptor.
    ///   - descriptor: the word.
    public init(stage: Int, level: Int, table: UInt64, index: UInt64, descriptor: UInt64) {
        self.stage = stage
        self.level = level
        self.table = table
        self.index = index
        self.descriptor = descriptor
    }
}
