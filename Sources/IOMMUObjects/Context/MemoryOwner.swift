import IOMMU

/// A context as parts beside the object model need it: its memory objects and its quotas.
package protocol MemoryOwner: AnyObject {
    /// Bounds on what it can make the daemon hold.
    var limits: ContextLimits { get }
    /// `ENOENT` for an unknown id.
    func memory(_ id: ObjectID) throws(IOMMUError) -> MemoryObject
    /// Some bytes of a memory object. `ENOENT`, `EINVAL`, `EMSGSIZE`, `EIO`.
    func readMemory(_ memory: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) -> [UInt8]
    /// Puts bytes into a memory object. `ENOENT`, `EINVAL`, `EMSGSIZE`, `EPERM`, `EDQUOT`, `EIO`.
    func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError)
    /// Takes room for one more object of any kind; `EDQUOT` if there is none.
    ///
    /// - Parameter descriptors: file descriptors that come with it.
    func chargeObject(descriptors: UInt64) throws(IOMMUError)
    /// Gives back what ``chargeObject(descriptors:)`` took.
    func releaseObject(descriptors: UInt64)
    /// Puts descriptors that it keeps on its user's account. `EDQUOT`, `EMFILE`.
    func chargeDescriptors(_ count: UInt64) throws(IOMMUError)
    /// They are closed.
    func releaseDescriptors(_ count: UInt64)
    /// Puts bytes of memory that the daemon makes for it on its user's account. `EDQUOT`.
    func chargeMemory(_ bytes: UInt64) throws(IOMMUError)
    /// They are given back.
    func releaseMemory(_ bytes: UInt64)
    /// Puts ranges of memory that it keeps on its user's account, as mappings. `EDQUOT`.
    func chargeRanges(_ count: UInt64) throws(IOMMUError)
    /// They are gone.
    func releaseRanges(_ count: UInt64)
    /// Tells of something that concerns the context.
    func emit(_ body: BackendEvent.Body)
}

extension ObjectContext: MemoryOwner {}
