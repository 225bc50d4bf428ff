/// One mapping to make (`IOMMU_IOAS_MAP_FILE`, `IOMMU_IOAS_MAP`).
public struct MapRequest: Sendable {
    // In this order it takes 32 bytes: calls with a hundred thousand of them are bound by memory.
    /// Bytes into the memory object.
    public var offset: UInt64
    /// Bytes.
    public var length: UInt64
    /// nil: choose one.
    public var iova: UInt64?
    /// What devices may do.
    public var access: Access
    /// The memory object.
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

/// Pages of an address space in the place of a memory object's (`IOMMU_IOAS_MAP`).
extension MapRequest {
    /// Set in an id that stands for an address space where mappings have that of a memory object. Neither is so large.
    package static let spaceFlag: ObjectID = 1 << 31
    /// No id that a client names has it, or the one above, set.
    package static let largestID: ObjectID = 1 << 30 - 1

    /// - Parameters:
    ///   - mm: the address space, of a process that the session has opened.
    ///   - va: first byte there.
    package init(mm: ObjectID, va: UInt64, length: UInt64, iova: UInt64?, access: Access) {
        self.init(memory: mm | Self.spaceFlag, offset: va, length: length, iova: iova, access: access)
    }

    /// The address space; ``offset`` is a virtual address then. nil: a memory object.
    @inline(__always)
    package var mm: ObjectID? { memory & Self.spaceFlag == 0 ? nil : memory & ~Self.spaceFlag }
}

/// `enum iommufd_hwpt_alloc_flags`, without FAULT_ID_VALID, which ``HWPTRequest/fault`` states.
package struct HWPTFlags: OptionSet, Sendable {
    /// As in the uAPI.
    package let rawValue: UInt32

    /// With these properties.
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A stage 2 that viommus build on.
    package static let nestParent = HWPTFlags(rawValue: 1)
    /// Its dirty pages can be recorded.
    package static let dirtyTracking = HWPTFlags(rawValue: 2)
    /// PASIDs can be attached to it.
    package static let pasid = HWPTFlags(rawValue: 8)
}

/// `struct iommu_hwpt_alloc`
package struct HWPTRequest: Sendable {
    /// The device that decides the format.
    package var device: ObjectID
    /// An IOAS, or a viommu with `vste`.
    package var pt: ObjectID
    /// What it is to be able to do.
    package var flags: HWPTFlags
    /// The fault queue that gets its page faults; nil: they are aborted.
    package var fault: ObjectID?
    /// Words 0 and 1 of the guest's STE (`struct iommu_hwpt_arm_smmuv3`); nil: no data.
    package var vste: (UInt64, UInt64)?

    /// With these properties.
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
    /// First byte.
    package var iova: UInt64
    /// Bytes.
    package var length: UInt64
    /// Bytes that one bit stands for; a power of two.
    package var pageSize: UInt64
    /// Whether what is reported is clean afterwards.
    package var clear: Bool

    /// With these properties.
    package init(iova: UInt64, length: UInt64, pageSize: UInt64, clear: Bool) {
        self.iova = iova
        self.length = length
        self.pageSize = pageSize
        self.clear = clear
    }
}

/// `struct iommu_hwpt_page_response`
package struct FaultResponse: Sendable {
    /// The fault group that it answers.
    package var cookie: UInt32
    /// `IOMMUFD_PAGE_RESP_SUCCESS`: retry; otherwise the access is aborted.
    package var success: Bool

    /// With these properties.
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
    /// First byte.
    package var iova: UInt64
    /// Bytes.
    package var length: UInt64

    /// With these properties.
    package init(iova: UInt64, length: UInt64) {
        self.iova = iova
        self.length = length
    }
}
