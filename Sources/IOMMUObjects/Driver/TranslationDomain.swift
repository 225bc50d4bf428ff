import IOMMU
import LinuxIO

/// One hardware table with its tag: what a paging hwpt is to the driver (`struct iommu_domain`).
package protocol TranslationDomain: AnyObject {
    /// 1 or 2.
    var stage: Int { get }
    /// What it can translate.
    var aperture: AddressRange { get }
    /// One bit for each size of page, in bytes.
    var pageSizes: UInt64 { get }

    /// Maps with the largest pages that alignment allows, all or nothing; in effect on return.
    ///
    /// - Parameters:
    ///   - pa: where the memory lies, as the ``ObjectHost`` has said.
    ///   - hugePages: false: only the smallest pages.
    /// - Throws: `ENOMEM`, `EDQUOT` beyond the user's share of tables, `EEXIST`, `EINVAL` for misalignment or beyond
    ///   the aperture; then nothing has changed.
    func map(
        iova: UInt64, pa: UInt64, length: UInt64, access: Access, hugePages: Bool
    ) throws(IOMMUError)
    /// Unmaps; translations may be in use until ``flush()``.
    func unmap(iova: UInt64, length: UInt64)
    /// Nothing translates through what was unmapped once this has returned.
    func flush()

    // MARK: In pieces

    // Long work takes a range run by run, see ``run(iova:pa:length:hugePages:)``. What is prepared cannot fail to be
    // filled, and no device sees anything of it before.

    /// Has the tables that a run needs.
    ///
    /// - Throws: `ENOMEM`, as ``map(iova:pa:length:access:hugePages:)``; then nothing has changed.
    func prepare(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) throws(IOMMUError)
    /// Gives back what was prepared for a run and is empty still; ``endPieces()`` has to follow.
    func withdraw(run iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool)
    /// Maps a run that was prepared.
    func fill(run iova: UInt64, pa: UInt64, length: UInt64, access: Access, hugePages: Bool)
    /// As ``flush()``, after long work: of what tables are left over, some may wait for ``giveBack(_:)``.
    func endPieces()
    /// Gives memory of tables back that nothing uses any more.
    ///
    /// - Returns: whether nothing is left to give back.
    func giveBack(_ budget: inout TurnBudget) -> Bool
    /// Frees what ``destroy()`` would have to, which comes next; nothing is attached to it.
    ///
    /// - Returns: whether little is left.
    func dismantle(_ budget: inout TurnBudget) -> Bool

    /// Turning dirty tracking on forgets what was dirty, also where it was on.
    ///
    /// - Throws: `EOPNOTSUPP` if the domain was not made for it.
    func setDirtyTracking(_ on: Bool) throws(IOMMUError)
    /// Adds the dirty pages of a range to a bitmap, bit `i` for page `i`.
    ///
    /// - Parameters:
    ///   - pageSize: bytes that one bit stands for, a power of two.
    ///   - clear: what was dirty is clean from then on. The hardware has one bit for each leaf, so that clearing part
    ///     of a leaf clears all of it, as with io-pgtable-arm: whoever tracks in small steps maps without huge pages.
    /// - Returns: bits that were set.
    /// - Throws: `EOPNOTSUPP`, `EINVAL` beyond the aperture or the bitmap.
    func readDirty(
        iova: UInt64, length: UInt64, pageSize: UInt64, clear: Bool, into bitmap: inout [UInt8]
    ) throws(IOMMUError) -> UInt64

    /// Whatever devices may write counts as written.
    func markDirty()
    /// Its tag, as it is given.
    var given: Ledger.Entry? { get }

    /// Frees it and its tag; nothing is attached to it.
    func destroy()
}

extension TranslationDomain {
    package func markDirty() {}
    package var given: Ledger.Entry? { nil }
}

extension TranslationDomain {
    /// Bytes.
    var smallestPage: UInt64 { pageSizes & (0 &- pageSizes) }

    /// How much of a range one step of long work takes: pages of one size, the largest that alignment allows, in one
    /// table, and not many bytes unless one page has them.
    ///
    /// - Returns: bytes, at least one page where the range is aligned.
    func run(iova: UInt64, pa: UInt64, length: UInt64, hugePages: Bool) -> UInt64 {
        var (size, above) = (smallestPage, UInt64(0))
        guard length > size else { return length }
        var larger = pageSizes & (pageSizes &- 1)
        while larger != 0 {
            let next = larger & (0 &- larger)
            guard hugePages, (iova | pa) & (next &- 1) == 0, length >= next else {
                above = next
                break
            }
            size = next
            larger &= larger &- 1
        }
        let whole = length & ~(size &- 1)
        let toBoundary = above == 0 ? whole : above &- (iova & (above &- 1))
        return max(min(whole, toBoundary, max(size, largestRun)), min(size, length))
    }
}

/// Bytes of ``TranslationDomain/run(iova:pa:length:hugePages:)`` where they are several pages.
private let largestRun: UInt64 = 64 << 20

/// A slice of an IOMMU that a virtual machine drives: what a viommu is to the driver (`struct iommufd_viommu`).
package protocol GuestSlice: AnyObject {
    /// The virtual machine knows a device by `virtualID` from now on.
    ///
    /// - Throws: `EEXIST` if the id or the device is taken, `EINVAL` for a device of another IOMMU or an id wider than
    ///   those of its guests' hardware, `EOPNOTSUPP` for a device that cannot have a virtual id.
    func setVDevice(_ virtualID: UInt64, port: any TranslationPort) throws(IOMMUError)
    /// The id is free again.
    func removeVDevice(_ virtualID: UInt64)
    /// A guest's stage 1 over the slice.
    ///
    /// - Parameter data: the two words of the guest's configuration, not trusted.
    /// - Throws: `EIO` for what a guest may not ask for.
    func makeNested(_ data: (UInt64, UInt64)) throws(IOMMUError) -> any NestedTranslation
    /// Runs a guest's invalidations in order, as far as the first bad one.
    ///
    /// - Returns: how many were run: all.
    /// - Throws: `EIO` with `handled`.
    func invalidate(entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int
}

/// A guest's stage 1: what a nested hwpt is to the driver. It needs no end of its own.
package protocol NestedTranslation: AnyObject {
    /// Only devices that have a virtual id can be attached to it.
    var needsVirtualID: Bool { get }
}
