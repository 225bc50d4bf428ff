import LinuxIO

/// The iommufd operations of one session, at the level of the ioctls: what one open of `/dev/iommu` can do.
///
/// Every backend implements it. Every call is all or nothing, and every refusal is an ``IOMMUError`` with the errno of
/// the Linux uAPI. Addresses and lengths are in bytes; `ENOENT` is for an id that is unknown, or of another kind. Not
/// thread-safe: one thread owns a backend and all of its contexts.
package protocol IOMMUContext: AnsweringLater {
    /// The number that it was made with.
    var id: ContextID { get }

    // MARK: Objects

    /// `IOMMU_DESTROY`, for every kind in the iommufd id space but `device` (see ``unbind(device:)``).
    ///
    /// - Throws: `ENOENT` for an unknown id, `EBUSY` while anything refers to it or if it is a device.
    func destroy(object: ObjectID) throws(IOMMUError)
    /// Everything that exists in this context, in id order, the iommufd id space first.
    func listing() -> ObjectListing
    /// How many objects there are, without describing them.
    var objectCount: Int { get }
    /// Bytes mapped in all IOASes of this context.
    var mappedBytes: UInt64 { get }
    /// Frees everything in dependency order; in-flight faults are answered first and the devices end blocked.
    func close()

    // MARK: Memory

    /// Makes a memory object of a file.
    ///
    /// - Parameter name: for people; nil: none.
    /// - Returns: the object, and its size in bytes.
    /// - Throws: `EINVAL` if it is not a memfd, or empty; `EFBIG` above ``ContextLimits/memorySize``, `EDQUOT`,
    ///   `ENOMEM`.
    func importMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> (memory: ObjectID, size: UInt64)
    /// Makes a memory object of a new memfd.
    ///
    /// - Parameters:
    ///   - size: bytes, at least 1; with `huge` a multiple of the huge page size.
    ///   - huge: of huge pages.
    /// - Throws: `EINVAL` for the size, `EFBIG` above ``ContextLimits/memorySize``, `EDQUOT`, `ENOMEM` without memory
    ///   or huge pages, `EMFILE`.
    func createMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> ObjectID
    /// A duplicate of the memfd. `ENOENT`; `EMFILE` without a descriptor.
    func exportMemory(_ memory: ObjectID) throws(IOMMUError) -> Descriptor
    /// `length` bytes from `offset`; 0 bytes are none.
    ///
    /// - Throws: `ENOENT`; `EINVAL` outside the object, `EMSGSIZE` above ``ContextLimits/transfer``, `EIO` where the
    ///   file has become shorter.
    func readMemory(_ memory: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) -> [UInt8]
    /// All of `bytes` to `offset`. As ``readMemory(_:offset:length:)``; `EPERM` if it may not be written.
    func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError)
    /// Lets go of the memory. `ENOENT`; `EBUSY` while anything maps it.
    func closeMemory(_ memory: ObjectID) throws(IOMMUError)

    // MARK: IOAS

    /// `IOMMU_IOAS_ALLOC`. `EDQUOT` for too many objects.
    func allocateIOAS() throws(IOMMUError) -> ObjectID
    /// `IOMMU_IOAS_MAP_FILE`. - Returns: the IOVA, chosen in the allowed ranges if the request names none.
    ///
    /// - Throws: `ENOENT` for an unknown id; `EINVAL` for a length of 0, misalignment, a range outside the memory, no
    ///   access, or IOVAs that are reserved or not allowed; `EPERM` to write memory that may not be written, `EEXIST`
    ///   for an overlap, `EOVERFLOW` for a range that wraps, `ENOSPC` where none is free, `EDQUOT`, `ENOMEM`.
    func map(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64
    /// All or none, with the IOVAs in the same order. As ``map(ioas:_:)``; the error names the failing element as
    /// `index`.
    func map(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64]
    /// `IOMMU_IOAS_UNMAP`. Whole mappings only; 0 and `UInt64.max` stand for everything. - Returns: bytes unmapped.
    ///
    /// - Throws: `ENOENT` for an unknown id, nothing mapped there or a mapping that would be cut; `EINVAL` for a length
    ///   of 0, `EOVERFLOW` for a range that wraps.
    func unmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64
    /// `IOMMU_IOAS_COPY`. - Returns: the IOVA in `destination`: `fixed`, or a chosen one if that is nil.
    ///
    /// - Throws: `ENOENT` for an unknown id or a hole in the source, `EPERM` for a writable copy of read-only memory,
    ///   and as ``map(ioas:_:)``.
    func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64
    /// `IOMMU_IOAS_IOVA_RANGES`: what can be mapped, ascending, and what addresses have to be multiples of. `ENOENT`.
    func iovaRanges(ioas: ObjectID) throws(IOMMUError) -> (ranges: [AddressRange], alignment: UInt64)
    /// `IOMMU_IOAS_ALLOW_IOVAS`: replaces the list; empty allows everything again.
    ///
    /// - Throws: `ENOENT`; `EINVAL` for ranges that overlap, `EADDRINUSE` where one cannot be mapped.
    func allowIOVAs(ioas: ObjectID, ranges: [AddressRange]) throws(IOMMUError)
    /// At most `limit` mappings from the first one that ends at or after `start`; `next` is where to go on.
    ///
    /// - Throws: `ENOENT`.
    func mappings(
        ioas: ObjectID, from start: UInt64, limit: Int
    ) throws(IOMMUError) -> (mappings: [MappingDescription], next: UInt64?)
    /// `IOMMU_OPTION_HUGE_PAGES`. `ENOENT`; `EINVAL` once a hardware table has mappings in it.
    func setHugePages(ioas: ObjectID, _ enabled: Bool) throws(IOMMUError)
    /// `IOMMU_OPTION_HUGE_PAGES`. `ENOENT`.
    func hugePages(ioas: ObjectID) throws(IOMMUError) -> Bool

    // MARK: Devices and hwpts

    /// `VFIO_DEVICE_BIND_IOMMUFD`. - Returns: the device object and the number of its group, where it has one.
    ///
    /// - Throws: `ENODEV` for an unknown name, `EBUSY` if its group belongs to another context or it is bound here,
    ///   `EINVAL` if its DMA is not coherent or memory of the firmware's lies behind it, `EPERM` where the system
    ///   refuses, `EDQUOT`.
    func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32?)
    /// Detaches a device everywhere and gives it back, blocked; also one that was unplugged. `ENOENT`.
    func unbind(device: ObjectID) throws(IOMMUError)
    /// The name of a bound device. `ENOENT`.
    func name(ofDevice device: ObjectID) throws(IOMMUError) -> String
    /// `IOMMU_GET_HW_INFO`. `ENOENT`; `ENODEV` once the device is unplugged.
    func hardwareInfo(device: ObjectID) throws(IOMMUError) -> HardwareInfo
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of a device (or PASID) that has none. - Returns: the hwpt.
    ///
    /// - Parameters:
    ///   - pt: an IOAS or an hwpt.
    ///   - pasid: from 1 to what the bits of the device's PASIDs can say; nil: the device's own transactions.
    /// - Throws: `ENOENT` for an unknown id or without a vdevice for a nested hwpt, `ENODEV` once it is unplugged,
    ///   `EBUSY` if it is attached or the PASID is shared, `EINVAL` for `pt` of the wrong kind, of another SMMU, or
    ///   that the group or the PASIDs cannot have, `EADDRINUSE` for a mapping that the device cannot have, `EOPNOTSUPP`
    ///   without PASIDs, `ENOSPC` without an ASID or VMID, `ENOMEM`.
    func attach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of a device (or PASID) that has one: the whole group moves, without a moment in
    /// which it has neither. - Returns: the new hwpt.
    ///
    /// - Throws: `EINVAL` if it is not attached, else as ``attach(device:to:pasid:)``; then it stays where it is.
    func replace(device: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID
    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`; success, and no change, if it is not attached.
    ///
    /// - Throws: `ENOENT`; `ENODEV` once it is unplugged, `EINVAL` and `EOPNOTSUPP` for a PASID that it cannot have.
    func detach(device: ObjectID, pasid: UInt32?) throws(IOMMUError)
    /// `IOMMU_HWPT_ALLOC`: a hardware table that is fully formed.
    ///
    /// - Throws: `ENOENT` for an unknown device or fault queue; `EINVAL` for a `pt` that is unknown, of the wrong kind
    ///   or of another SMMU; `EOPNOTSUPP` for flags that the IOMMU has not, or not together, and for nesting without a
    ///   viommu; `EIO` for an illegal guest STE, `EADDRINUSE` for a mapping that the device cannot have, `ENOSPC`
    ///   without an ASID or VMID, `EDQUOT`, `ENOMEM`.
    func allocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> ObjectID
    /// `IOMMU_HWPT_SET_DIRTY_TRACKING`. `ENOENT`; `EOPNOTSUPP` if it was allocated without.
    func setDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError)
    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`: bit 0 of byte 0 is the first page. - Returns: the bitmap, and how many are dirty.
    ///
    /// - Throws: `ENOENT`; `EOPNOTSUPP` without dirty tracking; `EINVAL` for a page size that is no power of two,
    ///   misalignment, a length of 0 or a hole; `EOVERFLOW` for a range that wraps, `EMSGSIZE` for a bitmap of more
    ///   bytes than ``ContextLimits/transfer``.
    func dirtyBitmap(hwpt: ObjectID, _ request: DirtyRequest) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64)
    /// `IOMMU_HWPT_INVALIDATE`; `entries` are raw guest commands, two words each. - Returns: how many were handled.
    ///
    /// - Throws: `ENOENT` for an unknown target; `EINVAL` for one of the wrong kind, another type,
    ///   `EOPNOTSUPP` for a nested hwpt of an SMMUv3; `EIO` for a command that is refused, with `handled`.
    func invalidate(target: ObjectID, type: String, entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int

    // MARK: Faults and virtual IOMMUs

    /// `IOMMU_FAULT_QUEUE_ALLOC`. `EDQUOT`; `EMFILE` without a descriptor.
    func allocateFaultQueue() throws(IOMMUError) -> ObjectID
    /// Whole fault groups only, so at most `max` (at least 1) and possibly fewer. `ENOENT`; `EINVAL` for `max`.
    func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault]
    /// - Returns: how many responses were taken.
    /// - Throws: `ENOENT`; `EINVAL` for a cookie that nobody waits for, with `handled`.
    func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int
    /// `IOMMU_VIOMMU_ALLOC`.
    ///
    /// - Throws: `ENOENT` for an unknown id; `EINVAL` for an hwpt that is no nest parent or of another SMMU,
    ///   `EOPNOTSUPP` for another type than "arm_smmuv3" or without both stages, `ENOSPC` without a VMID, `EDQUOT`.
    func allocateVIOMMU(device: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> ObjectID
    /// `IOMMU_VDEVICE_ALLOC`.
    ///
    /// - Parameter virtualID: the StreamID in the guest, 32 bits.
    /// - Throws: `ENOENT` for an unknown id, `ENODEV` once it is unplugged, `EINVAL` for the id or another SMMU's
    ///   viommu, `EEXIST` if the device has one or the id is taken, `EOPNOTSUPP` for several StreamIDs, `EDQUOT`.
    func allocateVDevice(viommu: ObjectID, device: ObjectID, virtualID: UInt64) throws(IOMMUError) -> ObjectID
    /// `IOMMU_VEVENTQ_ALLOC`.
    ///
    /// - Parameter depth: events that it holds.
    /// - Throws: `ENOENT`; `EINVAL` for the depth, `EEXIST` if the viommu has one of this type, `EOPNOTSUPP` for
    ///   another type than "arm_smmuv3", `EDQUOT`, `EMFILE`.
    func allocateVEventQueue(viommu: ObjectID, type: String, depth: UInt32) throws(IOMMUError) -> ObjectID
    /// At most `max` (at least 1) events, oldest first. `ENOENT`.
    func readVirtualEvents(_ queue: ObjectID, max: Int) throws(IOMMUError) -> [VirtualEvent]

    // MARK: Explanations

    /// Why the device can or cannot be bound and attached; `ENODEV` for an unknown name.
    func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation
    /// The dry run of a guest layout: every problem, at most 10,000, and nothing changed. What it finds comes in
    /// pieces, each with a part of the work, some of them empty.
    func beginCheck(devices: [DeviceSelector], mappings: [CheckedMapping]) -> AnyIterator<[LayoutProblem]>

    // MARK: Capabilities

    /// Has devices read and write memory.
    var deviceDMA: (any DeviceDMA)? { get }
    /// Shares address spaces of processes with devices.
    var sharedAddressing: (any SharedAddressing)? { get }
    /// Opens queues of accelerators.
    var acceleratorQueues: (any AcceleratorQueues)? { get }
    /// Looks into the SMMUs.
    var smmuInspection: (any SMMUInspection)? { get }
    /// Invalidates TLBs in the place of the CPUs.
    var tlbBroadcast: (any TLBBroadcast)? { get }
    /// Has SMMU models that clients program.
    var bareSMMUs: (any BareSMMUs)? { get }
    /// Hands out descriptors of its devices.
    var descriptorExport: (any DescriptorExport)? { get }
    /// Its state can be written down and made again.
    var keptState: (any KeptState)? { get }
}

/// A context can what the protocol demands, and nothing else, unless it says so.
extension IOMMUContext {
    package var deviceDMA: (any DeviceDMA)? { nil }
    package var sharedAddressing: (any SharedAddressing)? { nil }
    package var acceleratorQueues: (any AcceleratorQueues)? { nil }
    package var smmuInspection: (any SMMUInspection)? { nil }
    package var tlbBroadcast: (any TLBBroadcast)? { nil }
    package var bareSMMUs: (any BareSMMUs)? { nil }
    package var descriptorExport: (any DescriptorExport)? { nil }
    package var keptState: (any KeptState)? { nil }
}

extension IOMMUContext {
    /// Whether nothing exists in this context.
    package var isEmpty: Bool { objectCount == 0 }
}

/// A whole backend: the hardware, and who owns what of it. Nothing here throws.
package protocol IOMMUBackend: AnyObject {
    associatedtype Context: IOMMUContext
    /// "emulated" or "kernel"
    var kind: String { get }
    /// Whether everybody may bind its devices where no rule says otherwise: nobody's real hardware is at stake.
    var isOpenByDefault: Bool { get }
    /// What clients can expect beyond the contract's base, for `daemon.info`.
    var features: [String] { get }
    /// The hardware as it is now.
    var topology: TopologyState { get }
    /// Like an open of `/dev/iommu`.
    ///
    /// - Parameters:
    ///   - id: what events of the context name.
    ///   - owner: what others are told when it holds something.
    ///   - account: is charged for what it holds.
    func makeContext(id: ContextID, owner: String, account: Account, limits: ContextLimits) -> Context
    /// Called on the owning thread for everything that happens without a request.
    var eventHandler: ((BackendEvent) -> Void)? { get set }
    /// Adds and removes devices.
    var deviceHotplug: (any DeviceHotplug)? { get }
    /// Has to be asked now and then whether address spaces still live.
    var addressSpaceProbing: (any AddressSpaceProbing)? { get }
    /// Its contexts' states can be written down and made again.
    var kept: (any KeptBackend)? { get }
}

/// A backend can what the protocol demands, and nothing else, unless it says so.
extension IOMMUBackend {
    package var isOpenByDefault: Bool { true }
    package var deviceHotplug: (any DeviceHotplug)? { nil }
    package var addressSpaceProbing: (any AddressSpaceProbing)? { nil }
    package var kept: (any KeptBackend)? { nil }
}

extension IOMMUContext {
    /// All of ``listing()``, as they are now.
    package func objects() -> [ObjectDescription] { Array(listing()) }

    /// All of ``beginCheck(devices:mappings:)``.
    package func check(devices: [DeviceSelector], mappings: [CheckedMapping]) -> [LayoutProblem] {
        Array(beginCheck(devices: devices, mappings: mappings).joined())
    }
}
