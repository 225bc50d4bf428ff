/// Reasons: memory objects.
extension Reason {
    /// A range or an object without a single byte.
    package static let zeroLength = Reason("zero_length")
    /// A size that no memory object can have.
    package static let badSize = Reason("bad_size")
    /// The memfd has no bytes yet.
    package static let emptyMemory = Reason("empty_memory")
    /// The memory object would be larger than the limits allow.
    package static let memoryTooLarge = Reason("memory_too_large")
    /// The memory object is still mapped.
    package static let memoryMapped = Reason("memory_mapped")
    /// A writable mapping of memory that its descriptor or its seals let nobody write.
    package static let memoryNotWritable = Reason("memory_not_writable")
    /// The memory object was imported read-only or is sealed against writes.
    package static let memoryReadOnly = Reason("memory_read_only")
    /// The file behind the memory object was truncated.
    package static let memoryTruncated = Reason("memory_truncated")
    /// The system has not enough free huge pages.
    package static let noHugePages = Reason("no_huge_pages")
    /// The system has no memory left for it.
    package static let noMemory = Reason("no_memory")
    /// No range of emulated physical addresses is left for it.
    package static let noPhysicalSpace = Reason("no_physical_space")
    /// The descriptor is not one of a memfd.
    package static let notAMemfd = Reason("not_a_memfd")
    /// The descriptor of the memfd is write-only.
    package static let notReadable = Reason("not_readable")
    /// The range does not lie inside the memory object.
    package static let outsideMemory = Reason("outside_memory")
}
