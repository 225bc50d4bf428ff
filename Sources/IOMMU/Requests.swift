/// One mapping to make (`IOMMU_IOAS_MAP_FILE`).
public struct MapRequest: Sendable {
    // In this order it takes 32 bytes: calls with a hundred thousand of them are bound by memory.
    /// Bytes into the memory object.
    public var offset: UInt64
    /// Bytes.
    public var length: UInt64
    /// nil: choose one.
    public var iova: UInt64?
    public var access: Access
    public var memory: ObjectID

    @inlinable
    public init(memory: ObjectID, offset: UInt64, length: UInt64, iova: UInt64?, access: Access) {
        self.memory = memory
        self.offset = offset
        self.length = length
        self.iova = iova
        self.access = access
    }
}

/// `enum iommufd_hwpt_alloc_flags`, without FAULT_ID_VALID, which ``HWPTRequest/fault`` states.
package struct HWPTFlags: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    package static let nestParent = HWPTFlags(rawValue: 1)
    package static let dirtyTracking = HWPTFlags(rawValue: 2)
    package static let pasid = HWPTFlags(rawValue: 8)
}

/// `struct iommu_hwpt_alloc`
package struct HWPTRequest: Sendable {
    package var device: ObjectID
    /// An IOAS, or a viommu with `vste`.
    package var pt: ObjectID
    package var flags: HWPTFlags
    package var fault: ObjectID?
    /// Words 0 and 1 of the guest's STE (`struct iommu_hwpt_arm_smmuv3`); nil: no data.
    package var vste: (UInt64, UInt64)?

    package init(
        device: ObjectID, pt: ObjectID, flags: HWPTFlags = [], fault: ObjectID? = nil, vste: (UInt64, UInt64)? = nil
    ) {
        self.device = device
        self.pt = pt
        self.flags = flags
        self.fault = fault
        self.vste = vste
    }
}

/// `struct iommu_hwpt_get_dirty_bitmap`
package struct DirtyRequest: Sendable {
    package var iova: UInt64
    package var length: UInt64
    /// Bytes that one bit stands for; a power of two.
    package var pageSize: UInt64
    package var clear: Bool

    package init(iova: UInt64, length: UInt64, pageSize: UInt64, clear: Bool) {
        self.iova = iova
        self.length = length
        self.pageSize = pageSize
        self.clear = clear
    }
}

/// `struct iommu_hwpt_page_response`
package struct FaultResponse: Sendable {
    package var cookie: UInt32
    /// `IOMMUFD_PAGE_RESP_SUCCESS`: retry; otherwise the access is aborted.
    package var success: Bool

    package init(cookie: UInt32, success: Bool) {
        self.cookie = cookie
        self.success = success
    }
}

/// A device of `ioas.check`: by name before it is bound, by id after.
package enum DeviceSelector: Sendable {
    case name(String)
    case id(ObjectID)
}

/// One mapping of `ioas.check`.
package struct CheckedMapping: Sendable {
    package var iova: UInt64
    package var length: UInt64

    package init(iova: UInt64, length: UInt64) {
        self.iova = iova
        self.length = length
    }
}
