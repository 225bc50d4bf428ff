import IOMMU
import IOMMUObjects
import LinuxIO

/// One open `/dev/iommu`, for one session.
///
/// What exists in it is known here, since the kernel cannot be asked: each call is checked against that, made, and
/// entered. Long calls are made on a worker; the service asks for nothing else of the session meanwhile.
package final class KernelContext: IOMMUContext {
    /// What its events name.
    package let id: ContextID
    /// What other sessions are told when this one holds something.
    package let owner: String
    unowned let backend: KernelBackend
    /// What the daemon keeps itself: memory objects, SMMU models, quotas.
    let store: ObjectContext
    /// The iommufd id space.
    var table = KernelObjectTable()
    /// Ids of vdevices of devices that were given back: the kernel does not free them before the iommufd is closed.
    var tombstones: [ObjectID] = []
    /// Our own mappings of memory objects, for kernels that map no files.
    var addresses: [ObjectID: OwnMapping] = [:]
    /// The iommufd has been handed out: calls that would change what is in it are refused.
    var isDelegated = false
    /// The devices that went with it.
    var delegatedDevices: [String] = []
    private var opened: KernelHandle?
    /// The iommufd was opened to be kept, before there was anything in it.
    var keepsIOMMUFD = false
    /// After a restart, the iommufd was lost: nothing of what was in it is there.
    var isLost = false
    private let counter = Counter()
    /// How others find this context without keeping it.
    let reference = KernelContextReference()

    init(id: ContextID, owner: String, backend: KernelBackend, store: ObjectContext) {
        self.id = id
        self.owner = owner
        self.backend = backend
        self.store = store
        counter.context = self
        store.add(counter)
        reference.set(self)
    }

    deinit { reference.set(nil) }

    // MARK: The iommufd

    /// The iommufd, which is opened when it is first needed: most connections never do.
    ///
    /// - Throws: `ENODEV` without iommufd, `EPERM` if the daemon may not open it, `EMFILE`, `EDQUOT`.
    func handle() throws(IOMMUError) -> KernelHandle {
        if isDelegated { throw Self.delegated(self) }
        if let opened { return opened }
        try store.account.charge(1, of: .descriptors)
        do {
            let handle = try backend.openIOMMUFD()
            opened = handle
            return handle
        } catch {
            store.account.release(1, of: .descriptors)
            throw error
        }
    }

    /// Takes over an iommufd that an earlier daemon has opened.
    func reopen(_ descriptor: consuming Descriptor) throws(IOMMUError) {
        try store.account.charge(1, of: .descriptors)
        opened = KernelHandle(backend.calls, KernelFile(descriptor))
    }

    /// Whether there is an iommufd.
    var isOpen: Bool { opened != nil }

    /// This iommufd, which somebody else has now, is the context's; it is on the user's account already.
    func delegate(_ handle: KernelHandle, with devices: [String]) {
        // One that was opened to be kept has nothing in it.
        takeHandle()?.file.end()
        opened = handle
        delegatedDevices += devices
        isDelegated = true
    }

    /// Gives the iommufd up, to be closed by the caller.
    func takeHandle() -> KernelHandle? {
        guard let handle = opened else { return nil }
        opened = nil
        store.account.release(1, of: .descriptors)
        return handle
    }

    // MARK: Work

    /// A call in three steps, of which checks come first: the kernel's part, on a worker or not, then what is known
    /// afterwards.
    struct Work<Output: Sendable, Value> {
        let work: @Sendable () -> Output
        let finish: (Output) -> Result<Value, IOMMUError>
    }

    /// Does it here and now.
    func now<Output, Value>(_ work: Work<Output, Value>) throws(IOMMUError) -> Value {
        try work.finish(work.work()).get()
    }

    /// Does it on a worker, after what the session has asked for before.
    func later<Output, Value>(_ work: Work<Output, Value>) -> Answer<Value> {
        let deferred = Deferred<Value>()
        let finish = work.finish
        let (ledger, page) = (backend.ledger, backend.ledger.page)
        backend.executor.perform(key: id.number, work.work) { output in
            // What is given now belongs to the change that was in hand then.
            let outer = ledger.exchange(page)
            let result = finish(output)
            _ = ledger.exchange(outer)
            deferred.settle(result)
        }
        return .later(deferred)
    }

    // MARK: Objects

    /// Enters an object that the kernel has made.
    func enter(_ object: KernelObject) {
        table.insert(object)
        backend.ledger.note(.object, UInt64(object.id))
    }

    /// Takes room for one more object.
    func charge() throws(IOMMUError) { try store.chargeObject() }

    /// Those of the iommufd, memory objects and SMMU models together.
    package var objectCount: Int { store.objectCount }

    /// From the books, in the order of the ids; then what the daemon has itself.
    package func listing() -> ObjectListing {
        let objects = table.all
        return ObjectListing(count: objects.count) { objects[$0].description } + store.listing()
    }

    /// In all IOASes, copies counted as often as there are.
    package var mappedBytes: UInt64 { store.mappedBytes }

    /// Beside any kernel.
    package var bareSMMUs: (any BareSMMUs)? { store.bareSMMUs }

    func emit(_ body: BackendEvent.Body) { backend.emit(BackendEvent(body, context: id)) }

    /// Counts the objects of the iommufd among those of the store, whose limit is for both.
    private final class Counter: ContextCompanion {
        /// It owns the store, which owns this.
        unowned var context: KernelContext?

        var objectCount: Int { context.map { $0.table.count + $0.tombstones.count } ?? 0 }
        func listing() -> ObjectListing { ObjectListing() }
        func release(device: Device) {}
        func close() {}
    }
}
