import IOMMU

/// What a mapping has behind it: a memory object, or a part of a process's address space.
package class MappedMemory {
    /// Bytes.
    package final let size: UInt64
    /// Whether devices may write it.
    package final let isWritable: Bool
    /// How many mappings, address spaces and device models use it.
    package final var mappings = 0

    init(size: UInt64, isWritable: Bool) { (self.size, self.isWritable) = (size, isWritable) }
}

/// A range of an address space whose pages mappings use: looked up at each access, never pinned.
package final class LentRange: MappedMemory {
    /// What the session calls the address space.
    package let mm: ObjectID
    /// Where the page at address 0 would lie in the machine, so that the others follow without a gap.
    let location: UInt64
    private let giveBack: () -> Void

    /// - Parameters:
    ///   - location: as above; only the range itself is there.
    ///   - giveBack: called once, when no mapping uses it any more.
    package init(mm: ObjectID, location: UInt64, giveBack: @escaping () -> Void) {
        (self.mm, self.location, self.giveBack) = (mm, location, giveBack)
        super.init(size: .max, isWritable: true)
    }

    func end() { giveBack() }
}

/// Has pages of processes mapped: what a backend does for ``ObjectContext`` whose devices can reach them.
package protocol MemoryLending: AnyObject {
    /// Looks whether the processes have there what is to be mapped, and may do themselves what devices are to do.
    ///
    /// - Parameter requests: all of address spaces, and at least one.
    /// - Returns: nothing; later, since processes have to be asked.
    /// - Throws: `ENOENT`, `EINVAL` for an address space that a client made up, `ESRCH`; later `EFAULT`, `EPERM`,
    ///   `EBUSY`, `EDQUOT`, `EIO`, `EAGAIN`, with the index of the request.
    func check(_ requests: [MapRequest]) throws(IOMMUError) -> Deferred<Void>
    /// Nobody waits for what is being checked.
    func callOffCheck()
    /// Gives a range a place in the machine, unchecked. `ENOENT`, `EDQUOT`, `ENOMEM`.
    func lend(mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) -> LentRange
}
