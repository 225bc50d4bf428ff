/// STE, Stream Table Entry: 64 bytes that say what happens to one stream (IHI 0070 5.2).
public struct StreamTableEntry: ConfigurationEntry {
    /// V, Config, the stage 1 format and the address and number of CDs.
    public var word0: UInt64 = 0
    /// How stage 1 structures are fetched, faults, ATS, and what is overridden on the way in.
    public var word1: UInt64 = 0
    /// Stage 2: VMID and the shape of its tables.
    public var word2: UInt64 = 0
    /// Stage 2: S2TTB, the address of its first table, and S2SKL.
    public var word3: UInt64 = 0
    /// MPAM partition, MECID, and stage 2 of the Secure state.
    public var word4: UInt64 = 0
    /// PMG, MPAM_NS, AssuredOnly, TL0, TL1 and VMSPtr, the address of the VMS.
    public var word5: UInt64 = 0
    /// Stage 2 of the Secure state: S_S2TTB, the address of its first table.
    public var word6: UInt64 = 0
    /// Reserved.
    public var word7: UInt64 = 0

    /// Zeros: an invalid entry (V = 0).
    @inlinable
    public init() {}

    /// Every field by its architectural name.
    public var fields: [DecodedField] { decode(Self.layout) }
}

/// STE.Config, what translates a stream (5.2).
public enum StreamConfiguration: UInt64, Sendable {
    case abort = 0b000
    case bypass = 0b100
    case stage1 = 0b101
    case stage2 = 0b110
    case nested = 0b111
}
