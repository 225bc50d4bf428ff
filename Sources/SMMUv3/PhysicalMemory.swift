/// What the SMMU sees behind its master port: the physical address space of the system.
///
/// The model is generic over it, so that table walks compile to plain loads; it is never used as an existential.
public protocol PhysicalMemory {
    /// One aligned, single-copy-atomic, little-endian load of 8 bytes.
    ///
    /// - Parameter address: physical byte address, a multiple of 8.
    /// - Returns: the value, or nil for an external abort.
    func load64(_ address: UInt64) -> UInt64?

    /// One aligned, single-copy-atomic, little-endian store of 8 bytes.
    ///
    /// - Returns: false for an external abort.
    func store64(_ address: UInt64, _ value: UInt64) -> Bool

    /// One aligned, little-endian store of 4 bytes: MSI writes and the MSI of a CMD_SYNC.
    ///
    /// - Returns: false for an external abort.
    func store32(_ address: UInt64, _ value: UInt32) -> Bool

    /// One atomic compare-and-exchange of 8 bytes: hardware updates of Access flag and dirty state.
    ///
    /// - Returns: whether the value was exchanged, or nil for an external abort.
    func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool?
}
