/// CD, Context Descriptor: 64 bytes that configure one stage 1 context (IHI 0070 5.4).
public struct ContextDescriptor: ConfigurationEntry {
    public var word0: UInt64 = 0
    public var word1: UInt64 = 0
    public var word2: UInt64 = 0
    public var word3: UInt64 = 0
    public var word4: UInt64 = 0
    public var word5: UInt64 = 0
    public var word6: UInt64 = 0
    public var word7: UInt64 = 0

    @inlinable
    public init() {}

    /// Every field by its architectural name.
    public var fields: [DecodedField] { decode(Self.layout) }
}
