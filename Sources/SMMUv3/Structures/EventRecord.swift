/// One 32-byte event record (7.3).
public struct EventRecord: Equatable, Hashable, Sendable {
    /// Bits [63:0].
    public var word0: UInt64
    /// Bits [127:64].
    public var word1: UInt64
    /// Bits [191:128].
    public var word2: UInt64
    /// Bits [255:192].
    public var word3: UInt64

    /// A record from its words as they lie in the queue.
    @inlinable
    public init(word0: UInt64 = 0, word1: UInt64 = 0, word2: UInt64 = 0, word3: UInt64 = 0) {
        (self.word0, self.word1, self.word2, self.word3) = (word0, word1, word2, word3)
    }

    /// Size in the queue, in bytes.
    public static var byteCount: Int { 32 }

    /// The four words in order.
    public var words: [UInt64] { [word0, word1, word2, word3] }

    /// The event, or nil for an unknown number.
    @inlinable
    public var type: EventType? { EventType(rawValue: number) }

    /// Event number, bits [7:0].
    @inlinable public var number: UInt8 {
        get { UInt8(truncatingIfNeeded: word0) }
        set { word0.setBits(7, 0, UInt64(newValue)) }
    }
}

// MARK: - Fields

extension EventRecord {
    /// The stream, bits [63:32].
    @inlinable public var StreamID: UInt32 {
        get { UInt32(truncatingIfNeeded: word0.bits(63, 32)) }
        set { word0.setBits(63, 32, UInt64(newValue)) }
    }

    /// Whether a SubstreamID came with the transaction, bit [11].
    @inlinable public var SSV: Bool {
        get { word0.bit(11) }
        set { word0.setBit(11, newValue) }
    }

    /// The substream (PASID), bits [31:12].
    @inlinable public var SubstreamID: UInt32 {
        get { UInt32(truncatingIfNeeded: word0.bits(31, 12)) }
        set { word0.setBits(31, 12, UInt64(newValue)) }
    }

    /// The substream if SSV; C_BAD_SUBSTREAMID has no such bit, and always one.
    @inlinable public var substream: UInt32? { SSV || type == .C_BAD_SUBSTREAMID ? SubstreamID : nil }

    /// Stall tag, bits [79:64].
    @inlinable public var STAG: UInt16 {
        get { UInt16(truncatingIfNeeded: word1.bits(15, 0)) }
        set { word1.setBits(15, 0, UInt64(newValue)) }
    }

    /// Whether the transaction waits for CMD_RESUME, bit [95].
    @inlinable public var Stall: Bool {
        get { word1.bit(31) }
        set { word1.setBit(31, newValue) }
    }

    /// Read permission that a Translation Request asks for, bit [95]; only of F_BAD_ATS_TREQ, as the next four.
    @inlinable public var R: Bool {
        get { word1.bit(31) }
        set { word1.setBit(31, newValue) }
    }

    /// Write permission (not No Write), bit [94].
    @inlinable public var W: Bool {
        get { word1.bit(30) }
        set { word1.setBit(30, newValue) }
    }

    /// Execute permission before STE overrides, bit [93].
    @inlinable public var X: Bool {
        get { word1.bit(29) }
        set { word1.setBit(29, newValue) }
    }

    /// Privileged permission before STE overrides, bit [92].
    @inlinable public var Priv: Bool {
        get { word1.bit(28) }
        set { word1.setBit(28, newValue) }
    }

    /// Smallest translation units that a Translation Request asks for, bits [71:64].
    @inlinable public var Span: UInt8 {
        get { UInt8(truncatingIfNeeded: word1.bits(7, 0)) }
        set { word1.setBits(7, 0, UInt64(newValue)) }
    }

    /// Privileged access after STE overrides, bit [97].
    @inlinable public var PnU: Bool {
        get { word1.bit(33) }
        set { word1.setBit(33, newValue) }
    }

    /// Instruction access after STE overrides, bit [98].
    @inlinable public var InD: Bool {
        get { word1.bit(34) }
        set { word1.setBit(34, newValue) }
    }

    /// Read (1) or write (0), bit [99].
    @inlinable public var RnW: Bool {
        get { word1.bit(35) }
        set { word1.setBit(35, newValue) }
    }

    /// Non-secure IPA of a Secure stream, bit [100].
    @inlinable public var NSIPA: Bool {
        get { word1.bit(36) }
        set { word1.setBit(36, newValue) }
    }

    /// Stage 2 fault, bit [103].
    @inlinable public var S2: Bool {
        get { word1.bit(39) }
        set { word1.setBit(39, newValue) }
    }

    /// What the faulting access was for, bits [105:104].
    @inlinable public var CLASS: UInt64 {
        get { word1.bits(41, 40) }
        set { word1.setBits(41, 40, newValue) }
    }

    /// Whether the faulting table access was a read, bit [108]; only of F_PERMISSION with CLASS TTD.
    @inlinable public var TTRnW: Bool {
        get { word1.bit(44) }
        set { word1.setBit(44, newValue) }
    }

    /// The input address as the transaction gave it, bits [191:128].
    @inlinable public var InputAddr: UInt64 {
        get { word2 }
        set { word2 = newValue }
    }

    /// Byte address of the 4 KiB frame that faulted at stage 2, bits [247:204].
    @inlinable public var IPA: UInt64 {
        get { word3.bits(55, 12) << 12 }
        set { word3.setBits(55, 12, newValue >> 12) }
    }

    /// Byte address whose fetch aborted, bits [247:195].
    @inlinable public var FetchAddr: UInt64 {
        get { word3.bits(55, 3) << 3 }
        set { word3.setBits(55, 3, newValue >> 3) }
    }
}
