import IOMMU

/// Where a driver gets memory for its tables and queues from.
///
/// ``Machine`` is the real one; tests inject sources that fail at a chosen allocation.
package protocol PageSource: AnyObject {
    /// Where all pages lie that it will ever hand out.
    var range: AddressRange { get }

    /// Zeroed memory, aligned to its size.
    ///
    /// - Parameter bytes: a power of two, at least 4096.
    /// - Returns: its physical address.
    /// - Throws: `ENOMEM`.
    func allocatePages(bytes: UInt64) throws(IOMMUError) -> UInt64

    /// Gives back what ``allocatePages(bytes:)`` returned for the same `bytes`.
    func freePages(_ address: UInt64, bytes: UInt64)

    /// Where an address within allocated pages lies in the daemon.
    func pointer(_ tableAddress: UInt64) -> UnsafeMutableRawPointer
}
