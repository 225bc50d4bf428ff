/// CD, Context Descriptor: 64 bytes that configure one stage 1 context (IHI 0070 5.4).
public struct ContextDescriptor: ConfigurationEntry {
    /// V, ASID, and the shape and faults of both halves of stage 1.
    public var word0: UInt64 = 0
    /// TTB0, the first table of the lower half, with its attributes.
    public var word1: UInt64 = 0
    /// TTB1, the first table of the upper half, with its attributes.
    public var word2: UInt64 = 0
    /// MAIR0 and MAIR1: the memory types that AttrIndx chooses from.
    public var word3: UInt64 = 0
    /// AMAIR0 and AMAIR1, IMPLEMENTATION DEFINED.
    public var word4: UInt64 = 0
    /// MPAM: PARTID and PMG.
    public var word5: UInt64 = 0
    /// Reserved.
    public var word6: UInt64 = 0
    /// Reserved.
    public var word7: UInt64 = 0

    /// Zeros: an invalid descriptor (V = 0).
    @inlinable
    public init() {}

    /// Every field by its architectural name.
    public var fields: [DecodedField] { decode(Self.layout) }
}
