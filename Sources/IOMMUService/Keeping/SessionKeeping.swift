import Durability
import IOMMU

/// Sees to it that named sessions outlive the daemon.
package protocol SessionKeeping: AnyObject {
    /// A named session is made: whoever keeps it may stand before its context.
    ///
    /// - Throws: `ENOSPC`, `EIO` where it cannot be written down; then there is none.
    func made(_ facts: SessionFacts, _ context: any IOMMUContext) throws(IOMMUError) -> any IOMMUContext
    /// It is being closed, with all in it.
    func closed(_ session: Session)
    /// The daemon ends, and named sessions do not.
    func daemonEnds()
}

/// What of a named session outlives the daemon.
package enum Durable: String, Sendable, CaseIterable {
    /// All that the documentation names.
    case full
    /// Its objects, but no memory and no address spaces of processes: nobody keeps their descriptors.
    case journal
    /// Nothing.
    case none
}
