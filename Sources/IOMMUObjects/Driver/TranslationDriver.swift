import IOMMU

/// The driver of one IOMMU, as the object model sees it: the counterpart of the kernel's `iommu_ops`.
///
/// Whatever it makes serves the devices behind this IOMMU only. One thread owns a driver and everything that it made.
package protocol TranslationDriver: AnyObject {
    /// The IOMMU's name, for refusals and descriptions.
    var name: String { get }
    /// What it can do; the same for as long as it lives.
    var traits: DriverTraits { get }
    /// What a domain looks like that is made without flags.
    var automaticFormat: DomainFormat { get }
    /// `IOMMU_GET_HW_INFO` of a device behind it.
    func hardwareInfo(of device: DeviceDescription) -> HardwareInfo
    /// An empty hardware table with a tag of its own; ``TranslationDomain/destroy()`` frees it.
    ///
    /// - Parameter account: of the user whose it is, charged for what it takes of the driver's pools.
    /// - Throws: `EOPNOTSUPP` for flags that it cannot honour, `ENOSPC` without a tag, `ENOMEM`, `EDQUOT`.
    func makeDomain(_ flags: HWPTFlags, for account: Account) throws(IOMMUError) -> any TranslationDomain
    /// A slice of the IOMMU for a virtual machine, over the addresses of `parent`.
    ///
    /// - Throws: `EOPNOTSUPP` without nesting, `EINVAL` if `parent` is no nest parent of this driver.
    func makeSlice(over parent: any TranslationDomain) throws(IOMMUError) -> any GuestSlice
}

/// What an IOMMU can do, as far as the object model has rules about it.
package struct DriverTraits: Sendable, Equatable {
    /// Both stages at once: nest parents and viommus.
    package var hasNesting: Bool
    /// Domains that keep dirty state.
    package var hasDirtyTracking: Bool
    /// The widest PASID in bits; 0: none.
    package var pasidBits: Int
    /// The type of its viommus, of their event queues and of their invalidations, as clients spell it.
    package var virtualType: String

    /// - Parameter virtualType: also where there is no nesting; it is named in refusals.
    package init(hasNesting: Bool, hasDirtyTracking: Bool, pasidBits: Int, virtualType: String) {
        self.hasNesting = hasNesting
        self.hasDirtyTracking = hasDirtyTracking
        self.pasidBits = pasidBits
        self.virtualType = virtualType
    }
}

/// The shape of a hardware table.
package struct DomainFormat: Sendable, Equatable {
    /// What it can translate.
    package var aperture: AddressRange
    /// One bit for each size of page, in bytes.
    package var pageSizes: UInt64

    /// - Parameter pageSizes: at least one.
    package init(aperture: AddressRange, pageSizes: UInt64) {
        self.aperture = aperture
        self.pageSizes = pageSizes
    }

    /// The smallest page, in bytes.
    package var granule: UInt64 { pageSizes & (0 &- pageSizes) }
    /// Bits of the widest address.
    package var inputBits: Int { 64 - aperture.last.leadingZeroBitCount }
}
