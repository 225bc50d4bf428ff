import IOMMU
import IOMMUService
import LinuxIO

/// A context in which only emptiness and closing mean something.
final class FakeContext: IOMMUContext {
    let id: ContextID
    let owner: String
    var objectIDs: [ObjectID] = []
    private(set) var isClosed = false
    /// Where its long calls go on; nil: they are answered at once.
    var slowWork: SlowWork?
    var descriptorExport: (any DescriptorExport)?
    /// What reads of fault queues are refused with.
    var faultRefusal: IOMMUError?
    /// What was begun, and what was ended.
    private(set) var calls: [String] = []

    init(id: ContextID, owner: String) {
        self.id = id
        self.owner = owner
    }

    var objectCount: Int { objectIDs.count }
    var mappedBytes: UInt64 { UInt64(objectIDs.count) * 4096 }

    func listing() -> ObjectListing {
        ObjectListing(objectIDs.map { ObjectDescription(kind: "ioas", id: $0, users: 0) })
    }

    func close() {
        objectIDs = []
        isClosed = true
    }

    func destroy(object: ObjectID) throws(IOMMUError) { throw refusal }
    func importMemory(_ descriptor: consuming Descriptor, name: String?) throws(IOMMUError) -> (
        memory: ObjectID, size: UInt64
    ) {
        throw refusal
    }
    func createMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> ObjectID { throw refusal }
    func exportMemory(_ memory: ObjectID) throws(IOMMUError) -> Descriptor { throw refusal }
    func readMemory(_ memory: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) -> [UInt8] { throw refusal }
    func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError) { throw refusal }
    func closeMemory(_ memory: ObjectID) throws(IOMMUError) { throw refusal }

    func allocateIOAS() throws(IOMMUError) -> ObjectID {
        let id = ObjectID(objectIDs.count + 1)
        objectIDs.append(id)
        return id
    }

    func map(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64 { request.iova ?? 0x1000 }

    func beginMap(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> Answer<UInt64> {
        let iova = try map(ioas: ioas, request)
        return answer("map \(iova)") { .success(iova) }
    }

    func beginUnmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64> {
        answer("unmap \(iova)") { .failure(IOMMUError(.ENOENT, .notMapped, "nothing is mapped there", hint: "map it")) }
    }

    func beginUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void> { answer("unbind") { .success(()) } }

    func beginClose() -> Answer<Void> {
        guard let slowWork, !objectIDs.isEmpty else { return .now(close()) }
        calls.append("close")
        return slowWork.answer(id.number, { .success(()) }, onEnd: { [self] in close() })
    }

    private func answer<Value: Sendable>(
        _ name: String, _ work: @escaping @Sendable () -> Result<Value, IOMMUError>
    ) -> Answer<Value> {
        calls.append(name)
        guard let slowWork else {
            let deferred = Deferred<Value>()
            deferred.settle(work())
            return .later(deferred)
        }
        return slowWork.answer(id.number, work, onEnd: { [self] in calls.append(name + " ended") })
    }

    func map(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64] { throw refusal }
    func unmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 { throw refusal }
    func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64 { throw refusal }
    func iovaRanges(ioas: ObjectID) throws(IOMMUError) -> (ranges: [AddressRange], alignment: UInt64) { throw refusal }
    func allowIOVAs(ioas: ObjectID, ranges: [AddressRange]) throws(IOMMUError) { throw refusal }
    func mappings(
        ioas: ObjectID, from start: UInt64, limit: Int
    ) throws(IOMMUError) -> (mappings: [MappingDescription], next: UInt64?) { throw refusal }
    func setHugePages(ioas: ObjectID, _ enabled: Bool) throws(IOMMUError) { throw refusal }
    func hugePages(ioas: ObjectID) throws(IOMMUError) -> Bool { throw refusal }

    func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32?) { throw refusal }
    func unbind(device: ObjectID) throws(IOMMUError) { throw refusal }
    func name(ofDevice device: ObjectID) throws(IOMMUError) -> String { "fake" }
    func hardwareInfo(device: ObjectID) throws(IOMMUError) -> HardwareInfo { throw refusal }
    func attach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID { throw refusal }
    func replace(device: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID { throw refusal }
    func detach(device: ObjectID, pasid: UInt32?) throws(IOMMUError) { throw refusal }
    func allocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> ObjectID { throw refusal }
    func setDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError) { throw refusal }
    func dirtyBitmap(hwpt: ObjectID, _ request: DirtyRequest) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64) {
        throw refusal
    }
    func invalidate(target: ObjectID, type: String, entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int {
        throw refusal
    }
    func allocateFaultQueue() throws(IOMMUError) -> ObjectID { throw refusal }
    func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault] { throw faultRefusal ?? refusal }
    func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int { throw refusal }
    func allocateVIOMMU(device: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> ObjectID { throw refusal }
    func allocateVDevice(viommu: ObjectID, device: ObjectID, virtualID: UInt64) throws(IOMMUError) -> ObjectID {
        throw refusal
    }
    func allocateVEventQueue(viommu: ObjectID, type: String, depth: UInt32) throws(IOMMUError) -> ObjectID {
        throw refusal
    }
    func readVirtualEvents(_ queue: ObjectID, max: Int) throws(IOMMUError) -> [VirtualEvent] { throw refusal }
    func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation { throw refusal }
    func beginCheck(devices: [DeviceSelector], mappings: [CheckedMapping]) -> AnyIterator<[LayoutProblem]> {
        AnyIterator([[LayoutProblem(error: refusal)]].makeIterator())
    }

    private var refusal: IOMMUError {
        IOMMUError(.EOPNOTSUPP, .noDeviceDMA, "this context has no hardware", hint: "take another")
    }
}

extension Peer {
    static func user(_ uid: UInt32, gid: UInt32? = nil, groups: [UInt32] = [], pid: Int32 = 100, admin: Bool = false)
        -> Peer
    {
        Peer(identity: ClientIdentity(uid: uid, gid: gid ?? uid, pid: pid, isAdmin: admin), groups: groups)
    }
}
