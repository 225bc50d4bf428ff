/// Reasons: hardware page tables, nesting and faults.
extension Reason {
    // MARK: Tables

    /// No ASID is left.
    package static let asidExhausted = Reason("asid_exhausted")
    /// The ASID belongs to another address space.
    package static let asidTaken = Reason("asid_taken")
    /// No VMID is left.
    package static let vmidExhausted = Reason("vmid_exhausted")
    /// A page size that is no power of two.
    package static let badPageSize = Reason("bad_page_size")
    /// A nested stage 1 needs the guest's STE.
    package static let dataRequired = Reason("data_required")
    /// A table over an IOAS takes no data.
    package static let dataWithoutViommu = Reason("data_without_viommu")
    /// The hardware cannot do this, or not in this combination.
    package static let flagsUnsupported = Reason("flags_unsupported")
    /// The guest's STE has bits that are not allowed.
    package static let illegalVSTE = Reason("illegal_vste")
    /// A nested stage 1 is allocated over a viommu.
    package static let nestThroughViommu = Reason("nest_through_viommu")
    /// The hwpt, or the SMMU, keeps no dirty state.
    package static let noDirtyTracking = Reason("no_dirty_tracking")
    /// The SMMU does not have both stages of translation.
    package static let noNesting = Reason("no_nesting")
    /// The SMMU does not have the stages of translation for it.
    package static let noStage = Reason("no_stage")
    /// No memory is left for translation tables.
    package static let noTableMemory = Reason("no_table_memory")
    /// No type of nested page tables has this name.
    package static let unknownDataType = Reason("unknown_data_type")

    // MARK: Virtual IOMMUs

    /// A guest cannot issue this command.
    package static let badCommand = Reason("bad_command")
    /// A depth that no event queue can have.
    package static let badDepth = Reason("bad_depth")
    /// A virtual StreamID of more than 32 bits.
    package static let badVirtualID = Reason("bad_virtual_id")
    /// Invalidations are for a whole viommu.
    package static let invalidateThroughViommu = Reason("invalidate_through_viommu")
    /// The hwpt was not allocated to nest in.
    package static let notANestParent = Reason("not_a_nest_parent")
    /// The device has more than one StreamID.
    package static let severalStreams = Reason("several_streams")
    /// No device of the viommu has this virtual StreamID.
    package static let unknownVirtualID = Reason("unknown_virtual_id")
    /// The device has a virtual StreamID already.
    package static let vdeviceExists = Reason("vdevice_exists")
    /// The viommu has an event queue of this type already.
    package static let veventqExists = Reason("veventq_exists")
    /// Another device of the viommu has this virtual StreamID.
    package static let virtualIDTaken = Reason("virtual_id_taken")
    /// No such type of virtual object here.
    package static let wrongType = Reason("wrong_type")

    // MARK: Faults

    /// The next group of page requests is larger than what is to be read.
    package static let groupDoesNotFit = Reason("group_does_not_fit")
    /// No fault waits for an answer with this cookie.
    package static let unknownCookie = Reason("unknown_cookie")

    // MARK: The driver

    /// A width of physical addresses that cannot be laid out.
    package static let badOutputSize = Reason("bad_output_size")
    /// A size that no table has.
    package static let badTableSize = Reason("bad_table_size")
    /// The SMMU has neither stage of translation.
    package static let noTranslation = Reason("no_translation")
    /// The SMMU does not acknowledge a register.
    package static let smmuSilent = Reason("smmu_silent")
}
