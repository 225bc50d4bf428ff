/// What became of a transaction.
public enum Translation: Equatable, Sendable {
    /// It proceeds at `Output.address`.
    case ok(Output)
    /// It was terminated with an abort; `recorded` says whether the event queue took `event`.
    case fault(EventRecord, recorded: Bool)
    /// It waits for CMD_RESUME or CMD_STALL_TERM under this tag; `event` is what the event queue got or will get.
    case stalled(STAG: UInt16, event: EventRecord)
    /// It was terminated without any event.
    case terminated(Termination)
}

/// Where a transaction goes.
public struct Output: Equatable, Sendable {
    /// Physical byte address of the access.
    public var address: UInt64
    /// Bytes of the smallest page or block that maps it, over both stages; 0 if nothing translated.
    public var pageSize: UInt64
    /// Memory attributes of the result.
    public var attributes: OutputAttributes
    /// Whether the TLB held the translation.
    public var isCached: Bool

    /// - Parameters:
    ///   - address: physical byte address.
    ///   - pageSize: bytes of the mapping, 0 for bypass.
    ///   - attributes: memory attributes.
    ///   - isCached: whether the TLB answered.
    @inlinable
    public init(address: UInt64, pageSize: UInt64, attributes: OutputAttributes, isCached: Bool) {
        self.address = address
        self.pageSize = pageSize
        self.attributes = attributes
        self.isCached = isCached
    }
}

/// What a translation lets the stream do there, and with which memory type.
public struct OutputAttributes: Equatable, Sendable {
    /// MAIR-format attribute byte (0x00-0x0f Device, else Normal outer | inner).
    public var memoryAttributes: UInt8
    /// Shareability: 0 none, 2 outer, 3 inner.
    public var shareability: UInt8
    /// Reads are permitted at this privilege.
    public var isReadable: Bool
    /// Writes are permitted at this privilege.
    public var isWritable: Bool
    /// Instruction fetches are permitted at this privilege.
    public var isExecutable: Bool

    /// - Parameters:
    ///   - memoryAttributes: MAIR-format byte.
    ///   - shareability: SH encoding.
    ///   - isReadable: reads permitted.
    ///   - isWritable: writes permitted.
    ///   - isExecutable: fetches permitted.
    @inlinable
    public init(
        memoryAttributes: UInt8, shareability: UInt8, isReadable: Bool, isWritable: Bool, isExecutable: Bool
    ) {
        self.memoryAttributes = memoryAttributes
        self.shareability = shareability
        self.isReadable = isReadable
        self.isWritable = isWritable
        self.isExecutable = isExecutable
    }
}

/// Why a transaction ended without an event; the raw value is the slug that clients see.
public enum Termination: String, Equatable, Sendable, CaseIterable {
    /// STE.Config = 0b0xx.
    case steAbort = "ste_abort"
    /// SMMUEN = 0 and GBPA.ABORT = 1.
    case gbpaAbort = "gbpa_abort"
    /// SMMUEN = 0 and the transaction is one that only an enabled SMMU can answer (ATS).
    case smmuDisabled = "smmu_disabled"
    /// CD.R = 0 or STE.S2R = 0: the fault is not recorded and is reported to the device as an abort.
    case faultNotRecorded = "fault_not_recorded"
    /// CD.A = 0: the access reads zero or is ignored.
    case readAsZero = "raz_wi"
    /// StreamID out of range and CR2.RECINVSID = 0.
    case badStreamID = "bad_stream_id"
    /// An ATS Translation Request that is answered with UR.
    case atsUnsupportedRequest = "ats_unsupported_request"
    /// An ATS Translation Request that is answered with CA.
    case atsCompleterAbort = "ats_completer_abort"
    /// An ATS Translation Request that is answered with a completion without permissions.
    case atsNoAccess = "ats_no_access"
    /// An ATS Translated transaction that ATSCHK refuses without an event.
    case atsTranslatedForbidden = "ats_translated_forbidden"
    /// CMD_RESUME or CMD_STALL_TERM ended a stall, or no stall tag was free.
    case stallTerminated = "stall_terminated"
}
