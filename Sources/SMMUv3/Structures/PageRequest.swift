/// One 16-byte entry of the PRI queue: a device asks for a page (8).
public struct PageRequest: Equatable, Hashable, Sendable {
    /// Bits [63:0].
    public var word0: UInt64
    /// Bits [127:64].
    public var word1: UInt64

    /// A request from its words as they lie in the queue.
    @inlinable
    public init(word0: UInt64 = 0, word1: UInt64 = 0) {
        (self.word0, self.word1) = (word0, word1)
    }

    /// A request of a device.
    ///
    /// - Parameters:
    ///   - streamID: the device.
    ///   - substreamID: its PASID, nil without.
    ///   - address: the page it wants.
    ///   - access: what it wants to do there; a write request asks for reads too.
    ///   - privileged: at which privilege.
    ///   - prgIndex: page request group, 0...511.
    ///   - isLast: whether this ends the group and wants an answer.
    public init(
        streamID: UInt32, substreamID: UInt32?, address: UInt64, access: Access, privileged: Bool = false,
        prgIndex: UInt16, isLast: Bool
    ) {
        self.init()
        word0.setBits(31, 0, UInt64(streamID))
        word0.setBits(51, 32, UInt64(substreamID ?? 0))
        // Without a PASID the two are zero.
        word0.setBit(58, privileged && substreamID != nil)
        word0.setBit(59, access == .execute && substreamID != nil)
        word0.setBit(60, true)
        word0.setBit(61, access == .write)
        word0.setBit(62, isLast)
        word0.setBit(63, substreamID != nil)
        word1 = address & ~0xfff | UInt64(prgIndex & 0x1ff)
    }

    /// Size in the queue, in bytes.
    public static var byteCount: Int { 16 }

    /// The device, bits [31:0].
    @inlinable public var StreamID: UInt32 { UInt32(truncatingIfNeeded: word0) }
    /// The PASID, bits [51:32].
    @inlinable public var SubstreamID: UInt32 { UInt32(truncatingIfNeeded: word0.bits(51, 32)) }
    /// Privileged, bit [58].
    @inlinable public var Priv: Bool { word0.bit(58) }
    /// Wants to execute, bit [59].
    @inlinable public var X: Bool { word0.bit(59) }
    /// Wants to read, bit [60].
    @inlinable public var R: Bool { word0.bit(60) }
    /// Wants to write, bit [61].
    @inlinable public var W: Bool { word0.bit(61) }
    /// Last of its group, bit [62].
    @inlinable public var Last: Bool { word0.bit(62) }
    /// Substream valid, bit [63].
    @inlinable public var SSV: Bool { word0.bit(63) }
    /// Page request group, bits [72:64].
    @inlinable public var PRGIndex: UInt16 { UInt16(truncatingIfNeeded: word1.bits(8, 0)) }
    /// Byte address of the page, bits [127:76].
    @inlinable public var Address: UInt64 { word1 & ~0xfff }
    /// The PASID if there is one.
    @inlinable public var substream: UInt32? { SSV ? SubstreamID : nil }
    /// A Stop Marker: LWR = 0b100 with a PASID; it gets no answer. Without a PASID it is a request like any other.
    @inlinable public var isStopMarker: Bool { SSV && Last && !R && !W }
    /// The request as an SMMU without substreams has it: SSV, SubstreamID, X and Priv are 0.
    var withoutSubstream: PageRequest {
        var plain = self
        plain.word0.setBits(51, 32, 0)
        plain.word0.setBits(59, 58, 0)
        plain.word0.setBit(63, false)
        return plain
    }
    /// The two words in order.
    public var words: [UInt64] { [word0, word1] }
}
