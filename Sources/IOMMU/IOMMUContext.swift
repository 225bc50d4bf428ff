/// The iommufd operations of one session, at the level of the ioctls: what one open of `/dev/iommu` can do.
///
/// Both backends implement it. Every call is all or nothing, and every refusal is an ``IOMMUError`` with the errno of
/// the Linux uAPI. Not thread-safe: one thread owns a backend and all of its contexts.
package protocol IOMMUContext: AnsweringLater {
    /// The number that it was made with.
    var id: ContextID { get }

    // MARK: Objects

    /// `IOMMU_DESTROY`, for every kind in the iommufd id space but `device` (see ``unbind(device:)``).
    func destroy(object: ObjectID) throws(IOMMUError)
    /// Everything that exists in this context, in id order, the iommufd id space first.
    func objects() -> [ObjectDescription]
    /// How many ``objects()`` there are, without describing them.
    var objectCount: Int { get }
    /// Bytes mapped in all IOASes of this context.
    var mappedBytes: UInt64 { get }
    /// Frees everything in dependency order; in-flight faults are answered first and the devices end blocked.
    func close()

    // MARK: Memory

    /// Takes ownership of `descriptor` whatever happens. `EINVAL` if it is not a memfd.
    func importMemory(descriptor: Int32, name: String?) throws(IOMMUError) -> (memory: ObjectID, size: UInt64)
    func createMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> ObjectID
    /// A duplicate of the memfd; the caller owns it.
    func exportMemory(_ memory: ObjectID) throws(IOMMUError) -> Int32
    func readMemory(_ memory: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) -> [UInt8]
    func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError)
    /// `EBUSY` while mapped.
    func closeMemory(_ memory: ObjectID) throws(IOMMUError)

    // MARK: IOAS

    func allocateIOAS() throws(IOMMUError) -> ObjectID
    /// `IOMMU_IOAS_MAP_FILE`. - Returns: the IOVA, chosen in the allowed ranges if the request names none.
    func map(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64
    /// All or none; the error names the failing element as `index`.
    func map(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64]
    /// `IOMMU_IOAS_UNMAP`. Whole mappings only; 0 and `UInt64.max` stand for everything. - Returns: bytes unmapped.
    func unmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64
    /// `IOMMU_IOAS_COPY`
    func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64
    /// `IOMMU_IOAS_IOVA_RANGES`
    func iovaRanges(ioas: ObjectID) throws(IOMMUError) -> (ranges: [AddressRange], alignment: UInt64)
    /// `IOMMU_IOAS_ALLOW_IOVAS`: replaces the list; empty allows everything again.
    func allowIOVAs(ioas: ObjectID, ranges: [AddressRange]) throws(IOMMUError)
    /// At most `limit` mappings from the first one that ends at or after `start`; `next` is where to go on.
    func mappings(
        ioas: ObjectID, from start: UInt64, limit: Int
    ) throws(IOMMUError) -> (mappings: [MappingDescription], next: UInt64?)
    /// `IOMMU_OPTION_HUGE_PAGES`
    func setHugePages(ioas: ObjectID, _ enabled: Bool) throws(IOMMUError)
    func hugePages(ioas: ObjectID) throws(IOMMUError) -> Bool

    // MARK: Devices and hwpts

    /// `VFIO_DEVICE_BIND_IOMMUFD`. - Returns: the device object and the number of its group.
    func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32)
    func unbind(device: ObjectID) throws(IOMMUError)
    /// The name of a bound device; `ENOENT` if there is none with this id.
    func name(ofDevice device: ObjectID) throws(IOMMUError) -> String
    /// `IOMMU_GET_HW_INFO`
    func hardwareInfo(device: ObjectID) throws(IOMMUError) -> HardwareInfo
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of a device (or PASID) that has none. - Returns: the hwpt.
    func attach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID
    /// `VFIO_DEVICE_ATTACH_IOMMUFD_PT` of a device (or PASID) that has one. - Returns: the new hwpt.
    func replace(device: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID
    /// `VFIO_DEVICE_DETACH_IOMMUFD_PT`; success, and no change, if it is not attached.
    func detach(device: ObjectID, pasid: UInt32?) throws(IOMMUError)
    /// `IOMMU_HWPT_ALLOC`
    func allocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> ObjectID
    func setDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError)
    /// `IOMMU_HWPT_GET_DIRTY_BITMAP`
    func dirtyBitmap(hwpt: ObjectID, _ request: DirtyRequest) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64)
    /// `IOMMU_HWPT_INVALIDATE`; `entries` are raw guest commands, two words each. A failure carries `handled`.
    func invalidate(target: ObjectID, type: String, entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int

    // MARK: Faults and virtual IOMMUs

    func allocateFaultQueue() throws(IOMMUError) -> ObjectID
    /// Whole fault groups only, so at most `max` and possibly fewer.
    func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault]
    /// - Returns: how many responses were taken; a failure carries `handled`.
    func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int
    func allocateVIOMMU(device: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> ObjectID
    func allocateVDevice(viommu: ObjectID, device: ObjectID, virtualID: UInt64) throws(IOMMUError) -> ObjectID
    func allocateVEventQueue(viommu: ObjectID, type: String, depth: UInt32) throws(IOMMUError) -> ObjectID
    func readVirtualEvents(_ queue: ObjectID, max: Int) throws(IOMMUError) -> [VirtualEvent]

    // MARK: Explanations

    /// Why the device can or cannot be bound and attached; `ENODEV` for an unknown name.
    func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation
    /// The dry run of a guest layout: every problem at once, nothing changed.
    func check(devices: [DeviceSelector], mappings: [CheckedMapping]) throws(IOMMUError) -> [LayoutProblem]

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
}

extension IOMMUContext {
    /// Whether nothing exists in this context.
    package var isEmpty: Bool { objectCount == 0 }
}

/// A whole backend: the hardware, and who owns what of it.
package protocol IOMMUBackend: AnyObject {
    associatedtype Context: IOMMUContext
    /// "emulated" or "kernel"
    var kind: String { get }
    /// What clients can expect beyond the contract's base, for `daemon.info`.
    var features: [String] { get }
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
}

/// A backend can what the protocol demands, and nothing else, unless it says so.
extension IOMMUBackend {
    package var deviceHotplug: (any DeviceHotplug)? { nil }
    package var addressSpaceProbing: (any AddressSpaceProbing)? { nil }
}
