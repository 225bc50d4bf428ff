/// Reasons: address spaces of devices.
extension Reason {
    /// The range, or the IOAS, has mappings already.
    package static let alreadyMapped = Reason("already_mapped")
    /// A range that the client allows meets one that the device reserves.
    package static let allowedRangeNarrowed = Reason("allowed_range_narrowed")
    /// A range to be allowed meets a reserved one.
    package static let allowedRangeReserved = Reason("allowed_range_reserved")
    /// Ranges to be allowed are empty or overlap.
    package static let badAllowedRanges = Reason("bad_allowed_ranges")
    /// A range is empty, wraps, or is not one of whole pages.
    package static let badRange = Reason("bad_range")
    /// A copy of a read-only mapping would be writable.
    package static let copyAddsWrite = Reason("copy_adds_write")
    /// The range goes beyond the last address.
    package static let iovaOverflow = Reason("iova_overflow")
    /// The range meets addresses that cannot be mapped.
    package static let iovaReserved = Reason("iova_reserved")
    /// A mapping meets a region that a device reserves.
    package static let mappingInReservedRegion = Reason("mapping_in_reserved_region")
    /// A mapping is no multiple of what the hardware maps.
    package static let mappingMisaligned = Reason("mapping_misaligned")
    /// Two mappings of a layout overlap.
    package static let mappingsOverlap = Reason("mappings_overlap")
    /// An address or a length is no multiple of the alignment.
    package static let misaligned = Reason("misaligned")
    /// A mapping allows neither reading nor writing.
    package static let noAccess = Reason("no_access")
    /// No range of this length is left.
    package static let noFreeIOVA = Reason("no_free_iova")
    /// A part of the range is not mapped.
    package static let notMapped = Reason("not_mapped")
    /// The range does not lie in what the tables translate.
    package static let outsideAperture = Reason("outside_aperture")
    /// The range would cut a mapping.
    package static let wouldSplitMapping = Reason("would_split_mapping")
}
