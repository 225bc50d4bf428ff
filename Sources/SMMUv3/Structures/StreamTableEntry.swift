/// STE, Stream Table Entry: 64 bytes that say what happens to one stream (IHI 0070 5.2).
public struct StreamTableEntry: ConfigurationEntry {
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

/// STE.Config, what translates a stream (5.2).
public enum StreamConfiguration: UInt64, Sendable {
    case abort = 0b000
    case bypass = 0b100
    case stage1 = 0b101
    case stage2 = 0b110
    case nested = 0b111
}
