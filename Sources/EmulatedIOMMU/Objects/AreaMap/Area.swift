import IOMMU

/// One mapping of an IOAS: a range of IOVAs and the bytes of a memory object behind it.
struct Area: Equatable {
    /// First byte and, inclusive, the last.
    var start: UInt64
    var last: UInt64
    /// Where in the memory object the range begins.
    var offset: UInt64
    /// Id in the context's table; a memory object outlives its mappings.
    var memory: ObjectID
    var access: IOMMU.Access

    var length: UInt64 { last &- start &+ 1 }
}
