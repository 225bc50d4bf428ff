import IOMMU
import SMMUv3

/// The software that runs an SMMUv3: stream and context tables, page tables, tags, commands, events.
///
/// After the bring-up it touches the device only through registers and memory. One thread owns it.
package final class SMMUDriver {
    /// What refusals call the SMMU.
    package let name: String
    /// What the ID registers state.
    package let features: SMMUFeatures
    /// Told of faults and events; lives as long as the driver.
    package unowned var events: (any SMMUDriverEvents)?
    /// The command queue, for its trace.
    package let queue: CommandQueue
    /// Stores to STEs and CDs, and their CFGI; a test puts an observer here.
    package var medium: any EntryMedium
    /// A test replaces them to inject exhaustion.
    package var asids: any TagSource
    /// VMIDs of the SMMU, as ``asids``.
    package var vmids: any TagSource
    /// What a user holds of ``asids`` and ``vmids``.
    let asidPool: Pool
    let vmidPool: Pool
    /// What a user holds of the memory for tables, which is the whole machine's; nil: nobody is charged.
    package var tablePool: Pool?
    /// What tags are given; nil: nobody writes it down.
    package var ledger: Ledger?

    let port: RegisterPort
    let memory: TableMemory
    let streams: StreamTable
    let guestCommands: GuestCommandRules
    let eventQueue: RecordQueue
    let priQueue: RecordQueue?
    var eventTrace = EventTrace()
    var isServicing = false
    var viommusMade: UInt64 = 0
    /// For streams on their way from one stage 2 to another; never a domain's.
    let transitVMID: UInt16
    private var queueMemory: [(address: UInt64, bytes: UInt64)] = []
    /// By StreamID.
    var masters: [UInt32: Master] = [:]
    /// Stage 1 domains by ASID, for ``claimASID(_:)``.
    var stage1Domains: [UInt16: PagingDomain] = [:]

    /// Brings the SMMU up: every stream aborts.
    ///
    /// - Parameters:
    ///   - name: for refusals.
    ///   - pages: memory for tables and queues.
    /// - Throws: `ENOMEM`; `EIO` if the device does not answer; `EOPNOTSUPP` if it cannot translate.
    package init<Memory: PhysicalMemory>(
        name: String, smmu: SMMU<Memory>, pages: any PageSource
    ) throws(IOMMUError) {
        let port = RegisterPort(smmu)
        let features = SMMUFeatures(
            idr: [Register.IDR0, .IDR1, .IDR2, .IDR3, .IDR4, .IDR5].map { port.read($0) }
        )
        let memory = try TableMemory(source: pages, tableBytes: features.granule)
        (self.name, self.port, self.features, self.memory) = (name, port, features, memory)
        guestCommands = GuestCommandRules(features)
        streams = try StreamTable(features: features, memory: memory)
        let commandBits = min(features.commandQueueBits, 10)
        let commands = try RecordQueue.allocate(log2: commandBits, entryBytes: 16, memory: memory)
        let events = try RecordQueue.allocate(log2: min(features.eventQueueBits, 9), entryBytes: 32, memory: memory)
        queueMemory = [(commands.address, commands.bytes), (events.address, events.bytes)]
        queue = CommandQueue(
            port: port, address: commands.address, log2Size: commands.log2, words: memory.pointer(commands.address)
        )
        eventQueue = RecordQueue(
            port: port, producer: .EVENTQ_PROD, consumer: .EVENTQ_CONS, region: events, wordsPerEntry: 4, memory: memory
        )
        if features.hasPRI {
            let requests = try RecordQueue.allocate(log2: min(features.priQueueBits, 9), entryBytes: 16, memory: memory)
            queueMemory.append((requests.address, requests.bytes))
            priQueue = RecordQueue(
                port: port, producer: .PRIQ_PROD, consumer: .PRIQ_CONS, region: requests, wordsPerEntry: 2,
                memory: memory
            )
        } else {
            priQueue = nil
        }
        medium = TableMedium(memory: memory, queue: queue)
        asids = TagAllocator(kind: .asid, bits: features.asidBits)
        vmids = TagAllocator(kind: .vmid, bits: features.vmidBits)
        asidPool = Pool("ASIDs of \(name)", capacity: (1 << UInt64(features.asidBits)) - 1)
        // One is the driver's own.
        vmidPool = Pool("VMIDs of \(name)", capacity: (1 << UInt64(features.vmidBits)) - 2)
        transitVMID = UInt16((UInt32(1) << UInt32(features.vmidBits)) - 1)
        _ = vmids.take(UInt32(transitVMID))
        try bringUp()
    }

    func tableShare(of account: Account?) -> PoolShare? {
        guard let account, let tablePool else { return nil }
        return account.share(of: tablePool)
    }

    deinit {
        streams.destroy()
        for region in queueMemory { memory.release(region.address, bytes: region.bytes) }
    }
}
