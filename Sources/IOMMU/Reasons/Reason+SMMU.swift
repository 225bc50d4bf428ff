/// Reasons: what can be seen of SMMUs, and SMMUs that clients program.
extension Reason {
    // MARK: Inspection

    /// There is no such context descriptor.
    package static let noCD = Reason("no_cd")
    /// The stream table does not reach this StreamID.
    package static let noSTE = Reason("no_ste")

    // MARK: Bare SMMUs

    /// The register cannot be accessed with this many bytes.
    package static let badWidth = Reason("bad_width")
    /// Guest memory is there already.
    package static let gpaInUse = Reason("gpa_in_use")
    /// The model cannot be what the ID registers say; `field` names the one.
    package static let idrNotModelled = Reason("idr_not_modelled")
    /// The offset is no multiple of the size of the access.
    package static let misalignedRegister = Reason("misaligned_register")
    /// No range of guest memory begins there.
    package static let noGuestMemory = Reason("no_guest_memory")
    /// The SMMU has no ring.
    package static let noRing = Reason("no_ring")
    /// The system has no asynchronous I/O left to signal an eventfd with.
    package static let noSignals = Reason("no_signals")
    /// The descriptor is not an eventfd.
    package static let notAnEventfd = Reason("not_an_eventfd")
    /// The SMMU has a ring already.
    package static let ringExists = Reason("ring_exists")
    /// The saved state is that of an SMMU with other ID registers.
    package static let stateMismatch = Reason("state_mismatch")
    /// The saved state has a format that is not known.
    package static let stateVersion = Reason("state_version")
    /// The value has more bytes than the access.
    package static let valueTooWide = Reason("value_too_wide")
}
