/// Memory objects, and what maps them.
extension Refusals {
    static let transfer = Refusals(
        unknownMemory,
        Refusals(.EMSGSIZE, .transferTooLarge, "More than `limits.transfer_bytes` in one call."),
        Refusals(.EINVAL, .outsideMemory, "The range lies outside the memory object."),
        Refusals(.EIO, .memoryTruncated, "The file behind the memory object has been truncated."))

    /// A new memory object, its own or the client's.
    static let newMemory = Refusals(
        room,
        Refusals(.EFBIG, .memoryTooLarge, "It would be larger than `limits.memory_object_bytes`."),
        Refusals(.ENOMEM, .noPhysicalSpace, "No range of emulated physical addresses is left for it."))

    static let tables = Refusals(.ENOMEM, .noTableMemory, "No memory is left for translation tables.")
    static let wraps = Refusals(.EOVERFLOW, .iovaOverflow, "The range goes beyond 64 bits.")
    static let zeroLength = Refusals(.EINVAL, .zeroLength, "The length is zero.")
    static let noAccess = Refusals(.EINVAL, .noAccess, "`access` is empty.")
    static let badRange = Refusals(.EINVAL, .badRange, "The range is empty, wraps, or is not one of whole pages.")

    /// What any new mapping can meet in its IOAS.
    static let placement = Refusals(
        unknownIOAS, noAccess, zeroLength, wraps,
        Refusals(.EINVAL, .misaligned, "An address or the length is not a multiple of `alignment`."),
        Refusals(.EINVAL, .iovaReserved, "The range meets IOVAs that a device reserves or the hardware cannot use."),
        Refusals(.ENOSPC, .noFreeIOVA, "No allowed range has room."),
        Refusals(.EEXIST, .alreadyMapped, "The range overlaps a mapping."), room, tables)

    static let mapping = Refusals(
        placement, unknownMemory,
        Refusals(.EINVAL, .outsideMemory, "The range lies outside the memory object."),
        Refusals(.EPERM, .memoryNotWritable, "`access` has write, and the memory object cannot be written."))

    static let copying = Refusals(
        placement,
        Refusals(.ENOENT, .notMapped, "Part of the source is not mapped."),
        Refusals(.EPERM, .copyAddsWrite, "`access` has write, and the source is mapped for reading."))

    /// Mappings and allowed ranges against what a table or a device leaves of an IOAS.
    static let collisions = Refusals(
        Refusals(.EADDRINUSE, .mappingInReservedRegion, "A mapping lies where the device or the hardware cannot go."),
        Refusals(.EADDRINUSE, .allowedRangeNarrowed, "A range of ioas.allow_iovas does."),
        mappingMisaligned)

    static let mappingMisaligned = Refusals(
        .EADDRINUSE, .mappingMisaligned, "A mapping is not a multiple of what the hardware maps.")
}
