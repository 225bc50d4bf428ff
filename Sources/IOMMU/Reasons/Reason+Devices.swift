/// Reasons: devices, groups and attachments.
extension Reason {
    // MARK: Description

    /// What is to be a name is none.
    package static let badName = Reason("bad_name")
    /// More PASIDs than the SMMU has SubstreamIDs for.
    package static let badPASIDBits = Reason("bad_pasid_bits")
    /// A number of queues that no device can have.
    package static let badQueues = Reason("bad_queues")
    /// A StreamID beyond those of the SMMU.
    package static let badStreamID = Reason("bad_stream_id")
    /// There is a device of this name already.
    package static let deviceExists = Reason("device_exists")
    /// The firmware goes on using memory through the device or a sibling.
    package static let directRegion = Reason("direct_region")
    /// The devices of a group are behind one SMMU.
    package static let groupSpansSmmus = Reason("group_spans_smmus")
    /// Addresses of 52 bits need the 64 KiB granule.
    package static let needs64KGranule = Reason("needs_64k_granule")
    /// The SMMU has no ATS.
    package static let noATS = Reason("no_ats")
    /// The SMMU has no PRI queue.
    package static let noPRI = Reason("no_pri")
    /// The SMMU cannot stall.
    package static let noStall = Reason("no_stall")
    /// A device without a StreamID.
    package static let noStreamID = Reason("no_stream_id")
    /// The SMMU translates in neither stage.
    package static let noTranslationStage = Reason("no_translation_stage")
    /// PRI needs ATS.
    package static let priWithoutATS = Reason("pri_without_ats")
    /// The queues of an accelerator need PASIDs.
    package static let queuesWithoutPASIDs = Reason("queues_without_pasids")
    /// A reserved region is not whole pages.
    package static let regionNotPages = Reason("region_not_pages")
    /// Two reserved regions of a device overlap.
    package static let regionsOverlap = Reason("regions_overlap")
    /// There is an SMMU of this name already.
    package static let smmuExists = Reason("smmu_exists")
    /// The model cannot be the SMMU that is described.
    package static let smmuNotModelled = Reason("smmu_not_modelled")
    /// The StreamID belongs to another device.
    package static let streamIDTaken = Reason("stream_id_taken")
    /// A StreamID is given twice.
    package static let streamIDTwice = Reason("stream_id_twice")
    /// There is no SMMU of this name.
    package static let unknownSMMU = Reason("unknown_smmu")

    // MARK: Binding

    /// The session has bound the device already.
    package static let alreadyBound = Reason("already_bound")
    /// The device is bound.
    package static let deviceBound = Reason("device_bound")
    /// The device has been unplugged.
    package static let deviceRemoved = Reason("device_removed")
    /// The device was unbound while the call waited.
    package static let deviceUnbound = Reason("device_unbound")
    /// The device, or one of its group, is bound by another session.
    package static let groupOwnedElsewhere = Reason("group_owned_elsewhere")
    /// The DMA of the device would not be coherent with the caches.
    package static let notCacheCoherent = Reason("not_cache_coherent")

    // MARK: Attaching

    /// The device is attached.
    package static let alreadyAttached = Reason("already_attached")
    /// A PASID that the device does not have.
    package static let badPASID = Reason("bad_pasid")
    /// The device itself is on stage 2 or nested, beside which no PASID can be.
    package static let deviceOnStage2 = Reason("device_on_stage2")
    /// The group of the device is attached to something else.
    package static let groupAttachedElsewhere = Reason("group_attached_elsewhere")
    /// The device or its SMMU has no PASIDs.
    package static let noPASID = Reason("no_pasid")
    /// The device is not attached.
    package static let notAttached = Reason("not_attached")
    /// The hwpt was not allocated for PASIDs.
    package static let notPASIDCompatible = Reason("not_pasid_compatible")
    /// The object belongs to another SMMU than the device.
    package static let otherSMMU = Reason("other_smmu")
    /// The PASID of the address space is attached to something else.
    package static let pasidInUse = Reason("pasid_in_use")
    /// The PASID belongs to a shared address space.
    package static let pasidTaken = Reason("pasid_taken")
    /// PASIDs of the device are in use, which needs a stage 1 below them.
    package static let pasidsInUse = Reason("pasids_in_use")
    /// The device itself is attached to an hwpt that was not allocated for PASIDs.
    package static let ridNotPASIDCompatible = Reason("rid_not_pasid_compatible")
    /// The device has no virtual StreamID in the viommu.
    package static let vdeviceRequired = Reason("vdevice_required")
}
