/// One 16-byte entry of the command queue (IHI 0070 chapter 4).
public struct Command: Equatable, Hashable, Sendable {
    /// Bits [63:0].
    public var word0: UInt64
    /// Bits [127:64].
    public var word1: UInt64

    /// A command from its words as they lie in the queue.
    @inlinable
    public init(word0: UInt64, word1: UInt64) {
        self.word0 = word0
        self.word1 = word1
    }

    /// A command with only its opcode set.
    @inlinable
    public init(_ opcode: CommandOpcode) {
        self.init(word0: UInt64(opcode.rawValue), word1: 0)
    }

    /// Size in the queue, in bytes.
    public static var byteCount: Int { 16 }

    /// The opcode, or nil if a Non-secure queue does not know it.
    @inlinable
    public var opcode: CommandOpcode? { CommandOpcode(rawValue: UInt8(truncatingIfNeeded: word0)) }

    /// The two words in order.
    public var words: [UInt64] { [word0, word1] }
}

// MARK: - Fields

extension Command {
    /// The stream concerned, bits [63:32].
    @inlinable public var StreamID: UInt32 {
        get { UInt32(truncatingIfNeeded: word0.bits(63, 32)) }
        set { word0.setBits(63, 32, UInt64(newValue)) }
    }

    /// The substream (PASID), bits [31:12].
    @inlinable public var SubstreamID: UInt32 {
        get { UInt32(truncatingIfNeeded: word0.bits(31, 12)) }
        set { word0.setBits(31, 12, UInt64(newValue)) }
    }

    /// Substream valid, bit [11].
    @inlinable public var SSV: Bool {
        get { word0.bit(11) }
        set { word0.setBit(11, newValue) }
    }

    /// Secure StreamID, bit [10]; illegal on the Non-secure queue.
    @inlinable public var SSec: Bool {
        get { word0.bit(10) }
        set { word0.setBit(10, newValue) }
    }

    /// Global invalidate of an ATC_INV, bit [9].
    @inlinable public var Global: Bool {
        get { word0.bit(9) }
        set { word0.setBit(9, newValue) }
    }

    /// Only the last level, bit [64].
    @inlinable public var Leaf: Bool {
        get { word1.bit(0) }
        set { word1.setBit(0, newValue) }
    }

    /// log2 of the number of STEs minus one, bits [68:64].
    @inlinable public var Range: UInt64 {
        get { word1.bits(4, 0) }
        set { word1.setBits(4, 0, newValue) }
    }

    /// Virtual machine identifier, bits [47:32].
    @inlinable public var VMID: UInt16 {
        get { UInt16(truncatingIfNeeded: word0.bits(47, 32)) }
        set { word0.setBits(47, 32, UInt64(newValue)) }
    }

    /// Address space identifier, bits [63:48].
    @inlinable public var ASID: UInt16 {
        get { UInt16(truncatingIfNeeded: word0.bits(63, 48)) }
        set { word0.setBits(63, 48, UInt64(newValue)) }
    }

    /// Range multiplier minus one, bits [16:12].
    @inlinable public var NUM: UInt64 {
        get { word0.bits(16, 12) }
        set { word0.setBits(16, 12, newValue) }
    }

    /// Range scale, bits [25:20].
    @inlinable public var SCALE: UInt64 {
        get { word0.bits(25, 20) }
        set { word0.setBits(25, 20, newValue) }
    }

    /// Granule of a range (0 = none, 1 = 4 KiB, 2 = 16 KiB, 3 = 64 KiB), bits [75:74].
    @inlinable public var TG: UInt64 {
        get { word1.bits(11, 10) }
        set { word1.setBits(11, 10, newValue) }
    }

    /// Level hint, bits [73:72].
    @inlinable public var TTL: UInt64 {
        get { word1.bits(9, 8) }
        set { word1.setBits(9, 8, newValue) }
    }

    /// Byte address with bits [11:0] zero, bits [127:76].
    @inlinable public var Address: UInt64 {
        get { word1 & ~0xfff }
        set { word1 = (word1 & 0xfff) | (newValue & ~0xfff) }
    }

    /// log2 of the 4 KiB pages of an ATC_INV, bits [69:64].
    @inlinable public var Size: UInt64 {
        get { word1.bits(5, 0) }
        set { word1.setBits(5, 0, newValue) }
    }

    /// Page request group, bits [72:64].
    @inlinable public var PRGIndex: UInt16 {
        get { UInt16(truncatingIfNeeded: word1.bits(8, 0)) }
        set { word1.setBits(8, 0, UInt64(newValue)) }
    }

    /// Page response, bits [77:76].
    @inlinable public var Resp: UInt64 {
        get { word1.bits(13, 12) }
        set { word1.setBits(13, 12, newValue) }
    }

    /// Stall tag, bits [79:64].
    @inlinable public var STAG: UInt16 {
        get { UInt16(truncatingIfNeeded: word1.bits(15, 0)) }
        set { word1.setBits(15, 0, UInt64(newValue)) }
    }

    /// Retry (1) or terminate (0) a stalled transaction, bit [12].
    @inlinable public var Action: Bool {
        get { word0.bit(12) }
        set { word0.setBit(12, newValue) }
    }

    /// Terminate with abort (1) or RAZ/WI (0), bit [13].
    @inlinable public var Abort: Bool {
        get { word0.bit(13) }
        set { word0.setBit(13, newValue) }
    }

    /// Completion signal of a SYNC (0 none, 1 interrupt, 2 WFE event), bits [13:12].
    @inlinable public var CS: UInt64 {
        get { word0.bits(13, 12) }
        set { word0.setBits(13, 12, newValue) }
    }

    /// MSI data of a SYNC, bits [63:32].
    @inlinable public var MSIData: UInt32 {
        get { UInt32(truncatingIfNeeded: word0.bits(63, 32)) }
        set { word0.setBits(63, 32, UInt64(newValue)) }
    }

    /// MSI byte address of a SYNC (0 = no MSI), bits [119:66].
    @inlinable public var MSIAddress: UInt64 {
        get { word1.bits(55, 2) << 2 }
        set { word1.setBits(55, 2, newValue >> 2) }
    }
}
