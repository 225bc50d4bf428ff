import IOMMU
import IOMMUObjects
import SMMUv3

/// A whole emulated machine: its memory, its SMMUs with their driver, its devices, and who owns what of it.
package final class EmulatedBackend: IOMMUBackend {
    /// The physical memory that SMMUs and devices share.
    package let machine: Machine
    /// In the order of the topology.
    package let smmus: [EmulatedSMMU]
    /// Runs what may block, and what has to wait until nobody is on the call stack.
    package let executor: any WorkExecutor
    /// Told of everything that happens, on the thread that owns the backend.
    package var eventHandler: ((BackendEvent) -> Void)?
    /// What is given while a change is written down or made again.
    package let ledger = Ledger()
    /// Adds to each new context what this backend does not have itself.
    package var equipment: ((ObjectContext) -> Void)?
    /// Address spaces that devices share with processes.
    package private(set) lazy var sva = makeSVA()
    /// The devices as the object model knows them.
    package private(set) lazy var registry = DeviceRegistry(host: self)
    /// By ``Device/number``.
    var slots: [EmulatedDevice?] = []
    /// Bits of the PASIDs of all devices, each once, the smallest first.
    private var pasidWidths: [Int] = []
    /// What devices that are added have to fit to.
    var index: TopologyIndex
    private var nextAccessID: AccessID = 1

    /// Builds the machine and brings its SMMUs up.
    ///
    /// - Parameters:
    ///   - tableSpace: bytes of address space for tables and queues; less is reserved where less can be had.
    ///   - caches: the size of the SMMUs' caches; a test takes those that never evict.
    ///   - pages: where the driver gets memory from; a test takes a source that fails.
    /// - Throws: what the topology gets wrong, or `ENOMEM`.
    package init(
        topology: TopologyDescription, executor: any WorkExecutor, tableSpace: UInt64 = TableSpace.modest,
        caches: CacheGeometry = .standard,
        pages: (Machine) -> any PageSource = { $0 }
    ) throws(IOMMUError) {
        self.executor = executor
        let machine = try Machine(
            outputAddressBits: topology.smmus.map(\.outputAddressBits).min() ?? 44, tableSpace: tableSpace)
        self.machine = machine
        let source = pages(machine)
        var smmus: [EmulatedSMMU] = []
        var index = TopologyIndex()
        for description in topology.smmus {
            if let problem = index.add(description) { throw problem.refusal(of: description) }
            smmus.append(
                try EmulatedSMMU(description, machine: machine, pages: source, caches: caches, executor: executor))
        }
        self.smmus = smmus
        self.index = index
        for smmu in smmus {
            smmu.driver.events = self
            smmu.driver.tablePool = machine.tablePool
            smmu.driver.ledger = ledger
        }
        for description in topology.devices { try insert(description) }
    }

    /// Devices have come or gone.
    func notePASIDWidths() {
        pasidWidths = Set(slots.compactMap { $0?.master.pasidBits }).filter { $0 > 0 }.sorted()
    }

    private func makeSVA() -> SVAManager {
        let sva = SVAManager(
            machine: machine, executor: executor, smmus: smmus,
            members: { [unowned self] group in group.devices.compactMap { slots[$0.number] } },
            pasidWidths: { [unowned self] in pasidWidths },
            emit: { [unowned self] event in emit(event) })
        sva.ledger = ledger
        return sva
    }

    /// `emulated`
    package var kind: String { "emulated" }

    /// A context with everything that this machine offers; it belongs to the thread that owns the backend.
    ///
    /// - Parameters:
    ///   - id: what its events name.
    ///   - owner: what others are told when it holds something.
    ///   - account: is charged for what it holds.
    package func makeContext(
        id: ContextID, owner: String, account: Account, limits: ContextLimits
    ) -> ObjectContext {
        let context = ObjectContext(registry, id: id, owner: owner, account: account, limits: limits)
        EmulatedContext(context, backend: self).equip()
        equipment?(context)
        return context
    }

    /// A number for something that can wait, in whatever context.
    func makeAccessID() -> AccessID {
        defer { nextAccessID &+= 1 }
        return nextAccessID
    }

    // MARK: Look-up

    /// `ENOENT` for an unknown name.
    package func smmu(named name: String) throws(IOMMUError) -> EmulatedSMMU {
        guard let smmu = smmus.first(where: { $0.name == name }) else {
            throw IOMMUError(
                .ENOENT, .unknownSMMU, "there is no SMMU “\(name)”", hint: "topology.list lists them",
                ["smmu": .text(name)])
        }
        return smmu
    }

    /// In the order they were added.
    package var devices: [EmulatedDevice] { registry.devices.compactMap { slots[$0.number] } }

    /// `ENODEV` for an unknown name.
    package func device(named name: String) throws(IOMMUError) -> EmulatedDevice {
        try hardware(of: registry.device(named: name))
    }

    /// What lies beneath a device; `ENODEV` once it has been unplugged.
    package func hardware(of device: Device) throws(IOMMUError) -> EmulatedDevice {
        guard !device.isRemoved, let hardware = slots[device.number] else { throw .deviceRemoved(device.name) }
        return hardware
    }

    /// The device of a driver's master; nil before and after its time.
    func device(of master: Master) -> EmulatedDevice? { master.owner.flatMap { slots[$0] } }

    /// The device that a stream belongs to.
    package func device(onSMMU smmu: EmulatedSMMU, streamID: UInt32) -> EmulatedDevice? {
        smmu.driver.master(ofStream: streamID).flatMap { device(of: $0) }
    }
}

extension EmulatedBackend: ObjectHost {
    /// Gives a memory object a window of physical addresses, and returns where it begins; `ENOMEM` if no range is free,
    /// `EDQUOT` beyond the user's share.
    package func admit(_ memory: MemoryObject, for account: Account) throws(IOMMUError) -> UInt64 {
        let share = account.share(of: machine.windowPool)
        try share.check(memory.pages)
        let location: UInt64
        if let wanted = ledger.next(.window) {
            guard machine.addWindow(for: memory, at: wanted) else {
                ledger.refuse()
                throw .taken("the physical address", wanted)
            }
            location = wanted
        } else {
            location = try machine.addWindow(for: memory)
        }
        try share.take(memory.pages)
        ledger.note(.window, location)
        return location
    }

    /// Ends the window at that physical address.
    package func dismiss(_ memory: MemoryObject, at location: UInt64, for account: Account) {
        machine.removeWindow(location)
        account.share(of: machine.windowPool).giveBack(memory.pages)
    }

    /// Page faults have been answered: accesses that waited for them go on.
    package func faultsAnswered() {
        for smmu in smmus { smmu.engine.pump() }
    }

    /// Hands an event on to ``eventHandler``.
    package func emit(_ event: BackendEvent) { eventHandler?(event) }

    package var longWork: (any WorkExecutor)? { executor }

    /// What contexts are given while changes are written down or made again.
    package var changeLedger: Ledger? { ledger }

    /// The driver of an SMMU, by its name.
    package func driver(named name: String) -> (any TranslationDriver)? {
        smmus.first { $0.name == name }?.driver
    }
}
