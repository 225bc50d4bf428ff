/// Devices, hardware page tables and attachments.
extension Refusals {
    /// A new hardware page table over an IOAS.
    static let newTable = Refusals(
        room, collisions, tables,
        Refusals(.ENOSPC, .asidExhausted, "All ASIDs of the SMMU are in use."),
        Refusals(.ENOSPC, .vmidExhausted, "All VMIDs of the SMMU are in use."))

    static let pasid = Refusals(
        Refusals(.EOPNOTSUPP, .noPASID, "The device, or its SMMU, has no PASIDs."),
        Refusals(.EINVAL, .badPASID, "The device has no such PASID; 0 is none."))

    /// What both attaching and replacing can meet.
    static let attachment = Refusals(
        device, pasid,
        Refusals(.ENOENT, .unknownPt, "`pt` names no object of this session."),
        Refusals(.EINVAL, .wrongKind, "`pt` is neither an IOAS nor an hwpt."),
        Refusals(.EINVAL, .otherSMMU, "The hwpt is a table of another SMMU than the device's."),
        Refusals(.EINVAL, .notPASIDCompatible, "An IOAS or an hwpt without the flag pasid, with a PASID."),
        Refusals(.EBUSY, .pasidsInUse, "Attached PASIDs or shared address spaces need a stage 1 below them."),
        Refusals(.ENOENT, .vdeviceRequired, "The device has no virtual StreamID in the viommu of the nested hwpt."),
        Refusals(.EADDRINUSE, .mappingInReservedRegion, "A mapping lies where the device or the hardware cannot go."),
        Refusals(.EADDRINUSE, .allowedRangeNarrowed, "A range of ioas.allow_iovas does."), mappingMisaligned,
        Refusals(.ENOSPC, .asidExhausted, "All ASIDs of the SMMU are in use."), room, tables)

    static let otherSMMU = Refusals(.EINVAL, .otherSMMU, "The two are behind different SMMUs.")
    static let noNesting = Refusals(.EOPNOTSUPP, .noNesting, "The SMMU does not have both stages of translation.")
    static let noDirtyTracking = Refusals(
        .EOPNOTSUPP, .noDirtyTracking, "The SMMU keeps no dirty state, or the hwpt does not.")
    static let wrongType = Refusals(.EOPNOTSUPP, .wrongType, "`type` is none that the device's IOMMU has.")
}
