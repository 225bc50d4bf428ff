import IOMMU

/// One device as its driver sees it: where translations are attached (`attach_dev`, `set_dev_pasid`).
package protocol TranslationPort: AnyObject {
    /// Everything of an attach or replace that can fail; nothing visible changes.
    ///
    /// - Parameter pasid: nil: accesses without one.
    /// - Throws: `EINVAL`, `EBUSY`, `EOPNOTSUPP`, `ENOENT` for what cannot be combined, `ENOMEM`.
    func prepare(pasid: UInt32?, target: TranslationTarget) throws(IOMMUError) -> any PreparedTranslation
    /// Accesses with this PASID, or without one, are terminated from now on. Cannot fail.
    func block(pasid: UInt32?)
    /// Ends the wait of an access: it is tried again, or aborted.
    func respond(to fault: FaultToken, success: Bool)
}

/// What a device, or one of its PASIDs, is to translate through.
package enum TranslationTarget {
    /// - faults: misses wait for software where the device can.
    case domain(any TranslationDomain, faults: Bool)
    /// - faults: as of a domain.
    case nested(any NestedTranslation, faults: Bool)
}

/// A change of one device that waits to be made or dropped: one of the two is called, once.
package protocol PreparedTranslation: AnyObject {
    /// Makes it: no access meets anything but the old or the new translation, and nothing can fail.
    func commit()
    /// Gives back what it holds.
    func abandon()
}

/// What stands for a fault between its driver and whoever answers it; only the driver can read it.
package struct FaultToken: Sendable, Hashable {
    /// What the driver makes of it.
    package let rawValue: UInt64

    /// - Parameter rawValue: the driver's.
    package init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A device's wait for a page that software may provide: a stalled access or a page request.
package struct DeviceFault: Sendable, Equatable {
    /// `IOMMU_PGFAULT_PERM_*`
    package struct Permissions: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `IOMMU_PGFAULT_PERM_READ`
        package static let read = Permissions(rawValue: 1)
        /// `IOMMU_PGFAULT_PERM_WRITE`
        package static let write = Permissions(rawValue: 2)
        /// `IOMMU_PGFAULT_PERM_EXEC`
        package static let execute = Permissions(rawValue: 4)
        /// `IOMMU_PGFAULT_PERM_PRIV`
        package static let privileged = Permissions(rawValue: 8)
    }

    /// nil: the device's own.
    package var pasid: UInt32?
    /// The address that missed; of a page request the page.
    package var address: UInt64
    /// What the access wants.
    package var permissions: Permissions
    /// The last of its group: answering is due.
    package var last: Bool
    /// Tells the groups of one device and PASID apart.
    package var groupID: UInt32
    /// What to answer.
    package var token: FaultToken

    package init(
        pasid: UInt32?, address: UInt64, permissions: Permissions, last: Bool, groupID: UInt32, token: FaultToken
    ) {
        (self.pasid, self.address, self.permissions) = (pasid, address, permissions)
        (self.last, self.groupID, self.token) = (last, groupID, token)
    }
}
