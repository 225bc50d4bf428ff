/// Reasons: sessions, users and what they may do.
extension Reason {
    // MARK: Ids

    /// The session has no object with this id.
    package static let unknownObject = Reason("unknown_object")
    /// The session has no IOAS with this id.
    package static let unknownIOAS = Reason("unknown_ioas")
    /// The session has no hwpt with this id.
    package static let unknownHWPT = Reason("unknown_hwpt")
    /// The session has no fault queue with this id.
    package static let unknownFault = Reason("unknown_fault")
    /// The session has no viommu with this id.
    package static let unknownVIOMMU = Reason("unknown_viommu")
    /// The session has no vdevice with this id.
    package static let unknownVdevice = Reason("unknown_vdevice")
    /// The session has no virtual event queue with this id.
    package static let unknownVEventQ = Reason("unknown_veventq")
    /// The session has no memory object with this id.
    package static let unknownMemory = Reason("unknown_memory")
    /// The session has no address space with this id.
    package static let unknownMM = Reason("unknown_mm")
    /// The session has no bond with this id.
    package static let unknownBond = Reason("unknown_bond")
    /// The session has no accelerator queue with this id.
    package static let unknownQueue = Reason("unknown_queue")
    /// The session has no bare SMMU with this id.
    package static let unknownVSMMU = Reason("unknown_vsmmu")
    /// There is no device of this name, or the session has none with this id.
    package static let unknownDevice = Reason("unknown_device")
    /// What a device is to be attached to does not exist.
    package static let unknownPt = Reason("unknown_pt")
    /// The object exists, but is of a kind that the operation does not take.
    package static let wrongKind = Reason("wrong_kind")
    /// Another object of the session refers to it.
    package static let objectInUse = Reason("object_in_use")

    // MARK: Sessions

    /// A session name breaks the rules for names.
    package static let badSessionName = Reason("bad_session_name")
    /// There is no session of this name.
    package static let noSuchSession = Reason("no_such_session")
    /// The private session of a connection that turns to a named one holds objects.
    package static let sessionNotEmpty = Reason("session_not_empty")
    /// The user has as many named sessions as the limits allow.
    package static let tooManySessions = Reason("too_many_sessions")
    /// The session was closed while the call waited.
    package static let sessionClosed = Reason("session_closed")
    /// The user has as many connections as the limits allow.
    package static let tooManyConnections = Reason("too_many_connections")
    /// The connection that waited has ended.
    package static let disconnected = Reason("disconnected")
    /// The daemon stops and does not wait any longer.
    package static let daemonStopping = Reason("daemon_stopping")
    /// The daemon does not start with the configuration that it has.
    package static let configurationUnusable = Reason("configuration_unusable")
    /// The request came without the descriptor that it takes.
    package static let descriptorMissing = Reason("descriptor_missing")

    // MARK: State that outlives the daemon

    /// What was there before a restart, and is not any more.
    package static let stateLost = Reason("state_lost")
    /// The file of the state has no room for another change.
    package static let stateFull = Reason("state_full")
    /// The file of the state cannot be written.
    package static let stateUnwritable = Reason("state_unwritable")
    /// The state that was stored cannot be read. EIO: that of the daemon, and nothing is served until an administrator
    /// has decided; EINVAL: that of a bare SMMU, or what is none.
    package static let stateCorrupt = Reason("state_corrupt")
    /// The state can be read: there is no reason to discard it.
    package static let stateIntact = Reason("state_intact")
    /// The service manager does not keep a descriptor.
    package static let descriptorNotStored = Reason("descriptor_not_stored")

    // MARK: Permissions and quotas

    /// The caller may not do this, or not with this object.
    package static let notAllowed = Reason("not_allowed")
    /// A limit is reached; `limit` names its key.
    package static let quotaExceeded = Reason("quota_exceeded")
    /// The daemon has no descriptor left.
    package static let noDescriptors = Reason("no_descriptors")
    /// One call would move more bytes than the limits allow.
    package static let transferTooLarge = Reason("transfer_too_large")

    // MARK: Capabilities that a backend does not have

    /// The backend cannot make a device read or write.
    package static let noDeviceDMA = Reason("no_device_dma")
    /// The backend does not share address spaces of processes with devices.
    package static let noSharedAddressing = Reason("no_shared_addressing")
    /// The backend opens no queues of accelerators.
    package static let noAcceleratorQueues = Reason("no_accelerator_queues")
    /// The backend cannot look into its SMMUs.
    package static let noSMMUInspection = Reason("no_smmu_inspection")
    /// The backend sends no TLB invalidations for the CPUs.
    package static let noTLBBroadcast = Reason("no_tlb_broadcast")
    /// The backend has no SMMU models for clients to program.
    package static let noBareSMMUs = Reason("no_bare_smmus")
    /// The backend cannot add or remove devices.
    package static let noDeviceHotplug = Reason("no_device_hotplug")
    /// The backend has no descriptors of its devices to hand out.
    package static let noDescriptorExport = Reason("no_descriptor_export")
}
