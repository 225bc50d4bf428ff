import IOMMU
import SMMUv3

/// The SMMU's view of one process address space: an ASID and the tables a CD points at.
package final class SVADomain {
    unowned let driver: SMMUDriver
    /// What its CDs and its TLB entries bear.
    package let asid: UInt16
    /// The ASID is the CPUs' (BTM): their invalidations by ASID concern it (CD.ASET = 0).
    let isASIDShared: Bool
    /// What its user holds of the driver's ASIDs, of which the domain has one; nil: nobody's.
    let tagShare: PoolShare?
    /// Filled by whoever manages the address space.
    package let table: PageTable
    /// false once the address space has ended.
    package internal(set) var isLive = true
    var users = DomainUsers()
    var gather = InvalidationGather()

    init(driver: SMMUDriver, asid: UInt16, tagShare: PoolShare?, isASIDShared: Bool, table: PageTable) {
        self.tagShare = tagShare
        (self.driver, self.asid, self.isASIDShared, self.table) = (driver, asid, isASIDShared, table)
    }

    /// How many (device, PASID) pairs translate through it.
    package var userCount: Int { users.list.count }

    /// Maps pages, all or nothing; `ENOMEM`, `EEXIST`.
    package func map(va: UInt64, pa: UInt64, length: UInt64, access: IOMMU.Access) throws(IOMMUError) {
        try table.map(iova: va, pa: pa, length: length, access: access, hugePages: false)
    }

    /// Clears pages without invalidating; the tables that emptied are kept until ``invalidate(va:length:)``.
    package func unmap(va: UInt64, length: UInt64) { table.unmap(iova: va, length: length, gather: &gather) }

    /// Makes the SMMU (unless it hears the CPUs' broadcasts) and the devices forget a range.
    ///
    /// - Parameters:
    ///   - length: `UInt64.max` stands for everything.
    ///   - broadcast: the CPUs' TLBI reaches the SMMU, so that only the devices' caches are left to invalidate.
    package func invalidate(va: UInt64, length: UInt64, broadcast: Bool = false) {
        driver.invalidate(self, va: va, length: length, broadcast: broadcast)
    }

    /// The address space has ended: every CD walks nothing and reports nothing, the ASID is invalidated. The CDs stay
    /// valid, and the ASID and PASID taken, until the last user detaches.
    package func quiesce() {
        guard isLive else { return }
        isLive = false
        driver.rewriteContexts(of: self)
    }
}
