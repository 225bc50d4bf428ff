import IOMMU

/// One IO page table with its tag: what an hwpt is to the driver.
package final class PagingDomain {
    unowned let driver: SMMUDriver
    /// Which stage it is, and what may lie above.
    package let kind: PagingKind
    /// Its tables (VMSAv8-64).
    package let table: PageTable
    /// ASID of a stage 1, VMID of a stage 2. An ASID can move: see ``SMMUDriver/claimASID(_:)``.
    package internal(set) var tag: UInt16
    /// Made for dirty tracking: the CD lets the SMMU update the tables.
    package let hasDirtyTracking: Bool
    /// What its user holds of the driver's ASIDs or VMIDs, of which the domain has one; nil: nobody's.
    let tagShare: PoolShare?
    /// Made to sit on a PASID.
    package let allowsPASID: Bool
    /// Dirty state is being tracked now.
    package internal(set) var isTrackingDirty = false
    var users = DomainUsers()
    /// ``DriverVIOMMU/serial`` of the guest whose stage 1 may be in the TLB under this VMID; nil: none's.
    var cachedGuest: UInt64?
    /// Behind a pointer: a class property would be guarded against overlapping access at every page.
    let gather: UnsafeMutablePointer<InvalidationGather>

    /// Its tag, as it is given.
    package var given: Ledger.Entry? { Ledger.Entry(kind == .stage1 ? .asid : .vmid, UInt64(tag)) }

    init(
        driver: SMMUDriver, kind: PagingKind, table: PageTable, tag: UInt16, tagShare: PoolShare?, dirtyTracking: Bool,
        pasid: Bool
    ) {
        self.tagShare = tagShare
        (self.driver, self.kind, self.table, self.tag) = (driver, kind, table, tag)
        (hasDirtyTracking, allowsPASID) = (dirtyTracking, pasid)
        gather = .allocate(capacity: 1)
        gather.initialize(to: InvalidationGather())
    }

    deinit {
        gather.deinitialize(count: 1)
        gather.deallocate()
    }

    /// 1 or 2.
    package var stage: Int { kind == .stage1 ? 1 : 2 }
    /// What can be mapped.
    package var aperture: AddressRange { table.format.aperture }
    /// One bit per leaf size in bytes.
    package var pageSizes: UInt64 { table.format.pageSizes }
    /// Its ASID; nil for a stage 2.
    package var asid: UInt16? { kind == .stage1 ? tag : nil }
    /// Its VMID; nil for a stage 1.
    package var vmid: UInt16? { kind == .stage1 ? nil : tag }
    /// How many (device, PASID) pairs translate through it, nested ones included.
    package var userCount: Int { users.list.count }

    /// Maps with the largest leaves that alignment allows, all or nothing. A miss is never cached, so that there is
    /// nothing to invalidate.
    ///
    /// - Throws: `ENOMEM`, `EEXIST`, `EINVAL` for misalignment or beyond the aperture.
    package func map(
        iova: UInt64, pa: UInt64, length: UInt64, access: IOMMU.Access, hugePages: Bool
    ) throws(IOMMUError) {
        try table.map(iova: iova, pa: pa, length: length, access: access, hugePages: hugePages)
    }

    /// Unmaps; the SMMU forgets at the next ``flush()``.
    package func unmap(iova: UInt64, length: UInt64) {
        table.unmap(iova: iova, length: length, gather: &gather.pointee)
    }

    /// Makes the SMMU and the devices forget what was unmapped: TLBI, ATC_INV, one CMD_SYNC.
    package func flush() {
        guard !gather.pointee.isEmpty else { return }
        driver.invalidate(self)
    }

    /// What maps `iova`, by a walk of the tables in software.
    package func translate(iova: UInt64) -> UInt64? { table.lookup(iova)?.address }

    // MARK: Dirty tracking

    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`; turning it on forgets what was dirty, also where it was on.
    ///
    /// - Throws: `EOPNOTSUPP` if the domain was not made for it.
    package func setDirtyTracking(_ on: Bool) throws(IOMMUError) {
        guard hasDirtyTracking else { throw Self.noDirtyTracking }
        isTrackingDirty = on
        table.startsClean = on
        guard on else { return }
        var nothing: DirtyBitmap?
        table.readDirty(iova: 0, last: aperture.last, clear: true, into: &nothing, gather: &gather.pointee)
        flush()
    }

    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`
    ///
    /// - Parameters:
    ///   - pageSize: bytes per bit, a power of two.
    ///   - bitmap: at least one bit per page of the range; dirty bits are added.
    /// - Returns: bits that were set.
    /// - Throws: `EOPNOTSUPP`, `EINVAL`.
    package func readDirty(
        iova: UInt64, length: UInt64, pageSize: UInt64, clear: Bool, into bitmap: inout [UInt8]
    ) throws(IOMMUError) -> UInt64 {
        guard hasDirtyTracking else { throw Self.noDirtyTracking }
        guard let range = AddressRange(start: iova, length: length), aperture.contains(range),
            pageSize.nonzeroBitCount == 1, (length - 1) / pageSize < UInt64(bitmap.count) * 8
        else {
            throw IOMMUError(
                .EINVAL, .outsideAperture, "the table or the bitmap does not hold \(span(length, at: iova))",
                hint: "ask for what the table translates, with a bit for each page",
                ["iova": .hex(iova), "length": .hex(length), "page_size": .hex(pageSize)]
            )
        }
        let count = bitmap.withUnsafeMutableBufferPointer { bytes in
            var map: DirtyBitmap? = DirtyBitmap(bytes: bytes, start: iova, pageShift: pageSize.trailingZeroBitCount)
            table.readDirty(iova: iova, last: range.last, clear: clear, into: &map, gather: &gather.pointee)
            return map?.count ?? 0
        }
        flush()
        return count
    }

    private static var noDirtyTracking: IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, .noDirtyTracking, "the hwpt was not allocated for dirty tracking",
            hint: "allocate it with the flag dirty_tracking"
        )
    }
}
