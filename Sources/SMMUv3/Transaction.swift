/// What a transaction does at its address.
public enum Access: UInt8, Equatable, Hashable, Sendable {
    case read
    case write
    /// An instruction fetch: a read with InD = 1.
    case execute
}

/// How ATS takes part in a transaction (3.9).
public enum AddressType: UInt8, Equatable, Hashable, Sendable {
    /// An ordinary access at an untranslated address.
    case untranslated
    /// An access at an address that the device translated before.
    case translated
    /// A question for a translation; the answer is a translation completion.
    case translationRequest
}

/// One incoming access of a client device.
public struct Transaction: Equatable, Hashable, Sendable {
    /// The StreamID of the device.
    public var streamID: UInt32
    /// The SubstreamID (PASID), nil if the transaction carries none.
    public var substreamID: UInt32?
    /// The 64-bit input address in bytes.
    public var address: UInt64
    /// Read, write or instruction fetch.
    public var access: Access
    /// Privileged (PnU = 1) before STE overrides.
    public var privileged: Bool
    /// Ordinary, translated, or a translation request.
    public var addressType: AddressType

    /// A transaction; without options an unprivileged data access without a substream.
    @inlinable
    public init(
        streamID: UInt32, substreamID: UInt32? = nil, address: UInt64, access: Access, privileged: Bool = false,
        addressType: AddressType = .untranslated
    ) {
        self.streamID = streamID
        self.substreamID = substreamID
        self.address = address
        self.access = access
        self.privileged = privileged
        self.addressType = addressType
    }
}
