/// What an invalidation takes away from whoever keeps translations of an SMMU.
///
/// It is never less than the architecture asks. Where an address says too little (tagged addresses, leaves of stage 1
/// that stage 2 maps in pieces) it is more.
public enum Invalidation: Equatable, Sendable {
    /// All translations, of all streams.
    case everything
    /// A register has changed, or all have, and every transaction may fare differently.
    case change
    /// Of a VMID.
    case machine(vmid: UInt16)
    /// Of an ASID: of a VMID, or of any, or of EL2 (nil).
    case space(asid: UInt16, vmid: UInt16?)
    /// At addresses, those of stage 2 alone and global ones included.
    case range(AddressInvalidation)
    /// Of the streams in a range: their STEs, or the CDs of one substream (nil: all, and what comes without one).
    case configuration(streamIDs: ClosedRange<UInt32>, substreamID: UInt32?, leaf: Bool)
}

/// Addresses whose translations go.
public struct AddressInvalidation: Equatable, Sendable {
    /// First and last byte.
    public var first: UInt64
    /// The last byte.
    public var last: UInt64
    /// Of an ASID; nil: of all.
    public var asid: UInt16?
    /// Of a VMID; nil: of all, or of EL2.
    public var vmid: UInt16?
    /// Entries of the last level only.
    public var leaf: Bool

    /// - Parameters:
    ///   - first: first byte.
    ///   - last: last byte.
    ///   - asid: nil for all.
    ///   - vmid: nil for all, or EL2's.
    ///   - leaf: only what the last level says.
    public init(first: UInt64, last: UInt64, asid: UInt16?, vmid: UInt16?, leaf: Bool) {
        (self.first, self.last) = (first, last)
        (self.asid, self.vmid, self.leaf) = (asid, vmid, leaf)
    }
}
