/// What became of a transaction.
public enum Translation: Equatable, Sendable {
    /// It proceeds at `Output.address`.
    case ok(Output)
    /// It was terminated with an abort; `recorded` says whether the event queue took `event`.
    case fault(EventRecord, recorded: Bool)
    /// It waits for CMD_RESUME or CMD_STALL_TERM under this tag; `event` is what the event queue got, or will get once
    /// it is writable if not `recorded`.
    case stalled(STAG: UInt16, event: EventRecord, recorded: Bool)
    /// There is no place for its stall, and the SMMU does not take it: it waits with its sender, who tries again
    /// (``StallOverflow/hold``). The event is what it would have stalled for.
    case held(EventRecord)
    /// It was terminated without any event.
    case terminated(Termination)
}

/// What becomes of a transaction whose fault finds no place among IDR5.STALL_MAX stalls.
public enum StallOverflow: Equatable, Sendable {
    /// The stalling configuration is not honoured: an abort, and a record with Stall = 0 (3.12).
    case terminate
    /// It is held back, as a port that accepts no more transactions does (3.12.2.3).
    case hold
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
    /// [7:0] MAIR byte, [9:8] shareability, [10] read, [11] write, [12] execute.
    @usableFromInline let packed: UInt32

    /// - Parameters:
    ///   - memoryAttributes: MAIR-format byte.
    ///   - shareability: SH encoding.
    ///   - isReadable: reads permitted.
    ///   - isWritable: writes permitted.
    ///   - isExecutable: fetches permitted.
    public init(
        memoryAttributes: UInt8, shareability: UInt8, isReadable: Bool, isWritable: Bool, isExecutable: Bool
    ) {
        let permissions: UInt32 = (isReadable ? 1 : 0) | (isWritable ? 2 : 0) | (isExecutable ? 4 : 0)
        self.init(memoryAttributes: memoryAttributes, shareability: shareability, permissions: permissions)
    }

    /// `permissions` is read = 1, write = 2, execute = 4.
    @inline(__always)
    init(memoryAttributes: UInt8, shareability: UInt8, permissions: UInt32) {
        packed = UInt32(memoryAttributes) | UInt32(shareability & 3) << 8 | (permissions & 7) << 10
    }

    @inline(__always)
    init(packed: UInt32) {
        self.packed = packed
    }

    /// The same with another type.
    func with(memoryAttributes: UInt8) -> OutputAttributes {
        OutputAttributes(packed: packed & ~0xff | UInt32(memoryAttributes))
    }

    /// MAIR-format attribute byte (0x00-0x0f Device, else Normal outer | inner).
    @inlinable public var memoryAttributes: UInt8 { UInt8(truncatingIfNeeded: packed) }
    /// Shareability: 0 none, 2 outer, 3 inner.
    @inlinable public var shareability: UInt8 { UInt8(truncatingIfNeeded: packed >> 8) & 3 }
    /// Reads are permitted at this privilege.
    @inlinable public var isReadable: Bool { packed & 1 << 10 != 0 }
    /// Writes are permitted at this privilege.
    @inlinable public var isWritable: Bool { packed & 1 << 11 != 0 }
    /// Instruction fetches are permitted at this privilege.
    @inlinable public var isExecutable: Bool { packed & 1 << 12 != 0 }
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
    /// SMMUEN = 0 and the address exceeds the OAS (3.4).
    case addressBeyondOAS = "address_beyond_oas"
}
