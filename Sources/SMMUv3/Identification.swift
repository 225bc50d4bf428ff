/// The read-only words that say what an SMMU implements; they govern all behaviour of the model (IHI 0070,
/// issue G.b, 6.3.1-6.3.8).
public struct Identification: Equatable, Sendable {
    /// Stages, table formats, HTTU, ATS, PRI, stall model, ASID and VMID widths (6.3.1).
    public var IDR0: UInt32
    /// Widths of StreamID, SubstreamID and queue indices; what tables and queues are preset (6.3.2).
    public var IDR1: UInt32
    /// Where the VATOS page is; the model has none (6.3.3).
    public var IDR2: UInt32
    /// Range invalidation, execute-never, hierarchical attributes, stage 2 forced write-back (6.3.4).
    public var IDR3: UInt32
    /// IMPLEMENTATION DEFINED (6.3.5).
    public var IDR4: UInt32
    /// Granules, output address size, 52-bit VAs, how many transactions may stall (6.3.6).
    public var IDR5: UInt32
    /// Implementer, product, revision (6.3.7).
    public var IIDR: UInt32
    /// The minor number of the architecture: 1 for SMMUv3.1 (6.3.8).
    public var AIDR: UInt32

    /// An identification from whole register words.
    public init(
        IDR0: UInt32, IDR1: UInt32, IDR2: UInt32 = 0, IDR3: UInt32 = 0, IDR4: UInt32 = 0, IDR5: UInt32,
        IIDR: UInt32 = 0, AIDR: UInt32
    ) {
        self.IDR0 = IDR0
        self.IDR1 = IDR1
        self.IDR2 = IDR2
        self.IDR3 = IDR3
        self.IDR4 = IDR4
        self.IDR5 = IDR5
        self.IIDR = IIDR
        self.AIDR = AIDR
    }
}

/// An identification that the model cannot honour.
public struct IdentificationError: Error, Equatable, Sendable {
    /// The offending field, such as `"IDR0.TTF"`.
    public let field: String
    /// Its value, right-aligned.
    public let value: UInt32
    /// One clause that says what the model supports instead.
    public let explanation: String

    /// - Parameters:
    ///   - field: register and field name.
    ///   - value: the refused value.
    ///   - explanation: what would be accepted.
    public init(field: String, value: UInt32, explanation: String) {
        self.field = field
        self.value = value
        self.explanation = explanation
    }
}

extension Identification {
    /// `smmu0` of the laboratory: both stages, nested, 4 KiB granule, VA 48, OAS 44, two-level tables, StreamID and
    /// SubstreamID of 16 bits, 16-bit ASID and VMID, stall, PRI, ATS, HTTU with dirty state, RIL, no BTM.
    public static var laboratory: Identification {
        Identification(IDR0: laboratoryIDR0, IDR1: laboratoryIDR1, IDR3: laboratoryIDR3, IDR5: laboratoryIDR5, AIDR: 2)
    }

    /// S2P, S1P, TTF = AArch64, COHACC, HTTU = dirty, ATS, ASID16, PRI, VMID16, CD2L, TTENDIAN = little,
    /// ST_LEVEL = two-level.
    private static var laboratoryIDR0: UInt32 {
        let stages: UInt32 = 1 << 0 | 1 << 1 | 0b10 << 2 | 1 << 4 | 0b10 << 6
        let tags: UInt32 = 1 << 12 | 1 << 18
        let devices: UInt32 = 1 << 10 | 1 << 16
        let tables: UInt32 = 1 << 19 | 0b10 << 21 | 0b01 << 27
        return stages | tags | devices | tables
    }

    /// CMDQS, EVENTQS and PRIQS 16, SSIDSIZE and SIDSIZE 16.
    private static var laboratoryIDR1: UInt32 {
        let queues: UInt32 = 16 << 21 | 16 << 16 | 16 << 11
        return queues | 16 << 6 | 16
    }

    /// HAD, XNX, FWB, RIL, BBML = 2.
    private static var laboratoryIDR3: UInt32 { 1 << 2 | 1 << 4 | 1 << 8 | 1 << 10 | 2 << 11 }

    /// STALL_MAX = 256, GRAN4K, OAS = 44 bits.
    private static var laboratoryIDR5: UInt32 { 256 << 16 | 1 << 4 | 0b100 }
}
