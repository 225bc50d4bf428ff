import IOMMU
import LinuxIO

/// The iommufd operations of one session, on whatever drivers its devices have: what one open of `/dev/iommu` can do.
///
/// It is the kernel's object model in Swift: IOAS, hwpt, group, fault queue, viommu. What a backend has besides hangs
/// on it as a ``ContextCompanion``.
package final class ObjectContext: IOMMUContext {
    /// The devices of its backend.
    package let registry: DeviceRegistry
    package let id: ContextID
    /// What other sessions are told when this one holds something.
    package let owner: String
    /// What its user's sessions hold together.
    package let account: Account
    /// Who holds what it holds.
    package var holder: Holder { Holder(owner, uid: account.uid) }
    /// Bounds on what it can make the daemon hold.
    package internal(set) var limits: ContextLimits

    /// The iommufd id space.
    package internal(set) var table = ObjectTable()
    /// The memory objects of the session.
    package internal(set) var memories = MemoryTable()
    /// Those that count against `memory_bytes`; imported ones belong to the client.
    var createdMemories: Set<ObjectIdentifier> = []
    /// Bytes in all IOASes together.
    var mapped: UInt64 = 0
    /// In all IOASes together.
    package internal(set) var mappingCount = 0
    /// Changes with every mapping and allowed range.
    var layoutGeneration: UInt64 = 0
    /// Everything has been freed.
    package private(set) var isClosed = false
    /// What other parts of the backend keep for this context, in the order in which it is torn down.
    package private(set) var companions: [any ContextCompanion] = []

    // MARK: What the backend can do beyond the object model

    /// ``Capability/deviceDMA``
    package var deviceDMA: (any DeviceDMA)?
    /// ``Capability/sharedAddressing``
    package var sharedAddressing: (any SharedAddressing)?
    /// ``Capability/acceleratorQueues``
    package var acceleratorQueues: (any AcceleratorQueues)?
    /// ``Capability/smmuInspection``
    package var smmuInspection: (any SMMUInspection)?
    /// ``Capability/tlbBroadcast``
    package var tlbBroadcast: (any TLBBroadcast)?
    /// ``Capability/bareSMMUs``
    package var bareSMMUs: (any BareSMMUs)?
    /// ``Capability/descriptorExport``
    package var descriptorExport: (any DescriptorExport)?
    /// Has pages of processes mapped; nil: they cannot be.
    package var lender: (any MemoryLending)?
    /// How it is written down and made again.
    package var keptState: (any KeptState)?

    // MARK: Long work

    /// What is done at once, in units of about a microsecond: more goes on in later turns.
    var longestAtOnce: UInt64 = 1024
    /// What others see while long work goes on; nil: there is none.
    var shown: (mappedBytes: UInt64, objects: Int)?
    /// Nobody waits any more for the work that goes on.
    var isCalledOff = false
    /// Tables of hwpts that go are freed in pieces.
    var buriesLater = false
    /// Tables of hwpts that have gone, which are to be freed.
    var graves: [any TranslationDomain] = []

    /// How devices refer to this context without keeping it.
    let reference = ContextReference()

    /// - Parameters:
    ///   - id: what its events name.
    ///   - owner: what others are told when it holds something.
    ///   - account: is charged for what it holds.
    package init(
        _ registry: DeviceRegistry, id: ContextID, owner: String, account: Account, limits: ContextLimits
    ) {
        self.registry = registry
        self.id = id
        self.owner = owner
        self.account = account
        self.limits = limits
        reference.context = self
    }

    deinit { reference.context = nil }

    /// Tells of something that concerns this context.
    package func emit(_ body: BackendEvent.Body) { registry.host.emit(BackendEvent(body, context: id)) }

    /// Hangs a part of the backend on it. Parts are described, and torn down, in the order in which they came.
    package func add(_ companion: any ContextCompanion) { companions.append(companion) }

    // MARK: Look-up

    /// The device behind a device object: `ENOENT` for an unknown id, `ENODEV` once it has been unplugged.
    package func device(_ id: ObjectID) throws(IOMMUError) -> Device {
        try deviceObject(id).device
    }

    func deviceObject(_ id: ObjectID) throws(IOMMUError) -> DeviceObject {
        let object = try table.object(id, .device, as: DeviceObject.self)
        guard !object.device.isRemoved else {
            throw IOMMUError(
                .ENODEV, .deviceRemoved, "device \(object.device.name) has been removed",
                hint: "device.unbind frees its object",
                ["device": .number(UInt64(id)), "name": .text(object.device.name)])
        }
        return object
    }

    /// `ENOENT` for an unknown id.
    @inline(__always)
    package func memory(_ id: ObjectID) throws(IOMMUError) -> MemoryObject {
        guard let memory = memories[id] else {
            throw .unknown(.unknownMemory, "memory object", id, key: "memory")
        }
        return memory
    }

    /// What a mapping has behind it; `ENOENT` for an unknown id.
    @inline(__always)
    func mapped(_ id: ObjectID) throws(IOMMUError) -> MappedMemory {
        if let memory = memories[id] { return memory }
        guard let range = memories.lent(id) else { throw .unknown(.unknownMemory, "memory object", id, key: "memory") }
        return range
    }

    // MARK: Quotas

    /// Takes room for one more object of any kind; `EDQUOT` if there is none.
    ///
    /// - Parameter descriptors: file descriptors that come with it.
    package func chargeObject(descriptors: UInt64 = 0) throws(IOMMUError) {
        guard currentCount + table.tombstones < limits.objects else {
            throw .overLimit(limits.objects, of: "objects", key: "objects_per_session")
        }
        try account.charge(1, of: .objects)
        do throws(IOMMUError) {
            try account.charge(descriptors, of: .descriptors)
        } catch {
            account.release(1, of: .objects)
            throw error
        }
    }

    /// Gives back what ``chargeObject(descriptors:)`` took.
    package func releaseObject(descriptors: UInt64 = 0) {
        account.release(1, of: .objects)
        account.release(descriptors, of: .descriptors)
    }

    /// Takes room for descriptors that belong to no object of their own.
    package func chargeDescriptors(_ count: UInt64) throws(IOMMUError) { try account.charge(count, of: .descriptors) }

    /// Gives back what ``chargeDescriptors(_:)`` took.
    package func releaseDescriptors(_ count: UInt64) { account.release(count, of: .descriptors) }

    /// Takes room for memory that belongs to no memory object of the session.
    package func chargeMemory(_ bytes: UInt64) throws(IOMMUError) { try account.charge(bytes, of: .memoryBytes) }

    /// Gives back what ``chargeMemory(_:)`` took.
    package func releaseMemory(_ bytes: UInt64) { account.release(bytes, of: .memoryBytes) }

    /// Takes room for ranges of memory that are no mappings of an IOAS, and count as such.
    package func chargeRanges(_ count: UInt64) throws(IOMMUError) { try account.charge(count, of: .mappings) }

    /// Gives back what ``chargeRanges(_:)`` took.
    package func releaseRanges(_ count: UInt64) { account.release(count, of: .mappings) }

    // MARK: Objects

    /// How many ``objects()`` there are.
    package var objectCount: Int { shown?.objects ?? currentCount }

    /// As ``objectCount``, also in the middle of long work.
    private var currentCount: Int { companions.reduce(table.count + memories.count) { $0 + $1.objectCount } }

    /// Bytes mapped in all IOASes.
    package var mappedBytes: UInt64 { shown?.mappedBytes ?? mapped }

    /// The iommufd id space, memory objects, and what companions have, each in id order.
    package func listing() -> ObjectListing {
        companions.reduce(table.listing + memories.listing(Self.describe)) { $0 + $1.listing() }
    }

    private static func describe(id: ObjectID, _ memory: MemoryObject) -> ObjectDescription {
        var state: [IOMMUError.Member] = [.init("size", .hex(memory.size))]
        if let name = memory.name { state.append(.init("name", .text(name))) }
        state.append(.init("writable", .flag(memory.isWritable)))
        return ObjectDescription(kind: "memory", id: id, users: memory.mappings, state: state)
    }

    /// Frees everything in dependency order; the devices end blocked.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        for companion in companions { companion.close() }
        companions = []
        destroyAll()
        for (id, memory) in memories.all { release(memory, id: id) }
        forgetAll()
    }

    /// ``close()``, in pieces where there is much.
    package func beginClose() -> Answer<Void> {
        let units = UInt64(table.count + memories.count) &* (1 &+ mapped >> 19) &+ UInt64(mappingCount) / 4
        // Some microseconds each, and some more for whoever is told of it.
        let others = UInt64(companions.reduce(0) { $0 + $1.objectCount }) &* 16
        guard units &+ others > longestAtOnce, let executor = registry.host.longWork else { return .now(close()) }
        guard !isClosed else { return .now(()) }
        // What others see is what there was.
        shown = (mapped, currentCount)
        isClosed = true
        return begin(CloseWork(self), on: executor)
    }

    /// What else hangs on the context goes first, as far as the budget lasts: whether it is gone.
    func closeCompanions(_ budget: inout TurnBudget) -> Bool {
        while let companion = companions.first {
            guard companion.close(&budget) else { return false }
            companions.removeFirst()
        }
        return true
    }

    /// All objects are gone.
    func forgetAll() {
        account.release(UInt64(table.tombstones), of: .objects)
        table = ObjectTable()
    }
}

/// A weak reference to a context, as long as one thread owns them all. The language's own would give the context a side
/// table, through which every request would count its references.
final class ContextReference {
    /// Unsafe because nothing is counted: the context takes itself out in `deinit`.
    unowned(unsafe) fileprivate(set) var context: ObjectContext?
}

/// What another part of the backend keeps for a context: bonds, queues, bare SMMU models.
package protocol ContextCompanion: AnyObject {
    /// How many objects there are.
    var objectCount: Int { get }
    /// What `session.objects` shows of it, in id order.
    func listing() -> ObjectListing
    /// The session gives the device back: whatever is bound to it ends. The device is still attached, unless it was
    /// unplugged.
    func release(device: Device)
    /// Frees everything; the context's devices are still attached.
    func close()
    /// As ``close()``, as far as the budget lasts: whether nothing is left.
    func close(_ budget: inout TurnBudget) -> Bool
}

extension ContextCompanion {
    /// What has little is closed at once.
    package func close(_ budget: inout TurnBudget) -> Bool {
        close()
        return true
    }
}
