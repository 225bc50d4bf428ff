import IOMMU
import IOMMUObjects
import SMMUv3

/// Shared virtual addressing of the whole machine: the address spaces, their PASIDs, and the CPUs' ASIDs.
package final class SVAManager {
    /// Touches memory of processes: by the executor, unless somebody better is named.
    package lazy var memory: any ForeignMemory = WorkerMemory(executor: executor, manager: self)
    private let executor: any WorkExecutor
    let windows: ProcessWindows
    /// Pages that mappings use.
    let lent: LentWindows
    /// What PASIDs and the CPUs' ASIDs are given; nil: nobody writes it down.
    var ledger: Ledger?
    /// Of address spaces, in the order in which they came.
    private var lastSerial: UInt64 = 0
    /// One PASID per address space, the same on every device. A test replaces it to inject exhaustion.
    package var pasids: any TagSource = TagAllocator(kind: .pasid, bits: 20)
    /// The CPUs' ASIDs, of which those that an SMMU uses are pinned.
    package var cpuASIDs: any TagSource = TagAllocator(kind: .asid, bits: 16)
    /// What users hold of ``pasids``, by width and in all.
    var pasidShares = PASIDShares()
    let pasidPool = Pool("PASIDs", capacity: (1 << 20) - 1)
    /// What a user holds of ``cpuASIDs``.
    let cpuASIDPool = Pool("ASIDs of the CPUs", capacity: 65_535)
    /// Bits of the PASIDs of all devices, each once, the smallest first.
    let pasidWidths: () -> [Int]
    /// Who grants access to processes. A test replaces it to inject refusals.
    package var processFiles: any ProcessFiles = KernelProcessFiles()
    private let emit: (BackendEvent) -> Void
    /// The devices of a group.
    let members: (DeviceGroup) -> [EmulatedDevice]
    private let smmus: [EmulatedSMMU]
    /// Address spaces of processes by what tells their images apart.
    private var processes: [ProcessLayout: [AddressSpace]] = [:]
    private(set) var all: [ObjectIdentifier: AddressSpace] = [:]
    private var nextWorkKey: UInt64 = 1 << 32
    /// Everything that stage 1 tables of a CPU can map.
    static let lastAddress: UInt64 = (1 << 48) - 1
    /// How long the end of an address space may go unnoticed while something is bound to it; a tenth of a second.
    package static let probeInterval: UInt64 = 100_000_000

    /// - Parameters:
    ///   - executor: runs what touches memory of processes.
    ///   - smmus: those of the machine.
    ///   - members: tells the devices of a group.
    ///   - pasidWidths: bits of the PASIDs of all devices, each once, the smallest first.
    ///   - emit: takes events.
    package init(
        machine: Machine, executor: any WorkExecutor, smmus: [EmulatedSMMU],
        members: @escaping (DeviceGroup) -> [EmulatedDevice], pasidWidths: @escaping () -> [Int],
        emit: @escaping (BackendEvent) -> Void
    ) {
        self.executor = executor
        self.smmus = smmus
        self.members = members
        self.pasidWidths = pasidWidths
        self.emit = emit
        windows = ProcessWindows(range: machine.processSpace)
        lent = LentWindows(range: machine.lentSpace)
        for smmu in smmus { (smmu.engine.processTransfers, smmu.engine.lentMemory) = (self, self) }
    }

    // MARK: Address spaces

    func makeSynthetic(for account: Account) -> AddressSpace {
        register(AddressSpace(manager: self, synthetic: SyntheticMemory(account: account), ticket: makeTicket(of: 0)))
    }

    /// The address space that an opened process has; one that is known already if the kernel says it is the same.
    ///
    /// - Parameters:
    ///   - uid: whose it is if it is a new one.
    ///   - compare: kcmp(KCMP_VM)
    func space(of opened: OpenedProcess, for uid: UInt32, compare: (Int32, Int32) -> Int32) -> AddressSpace {
        for candidate in processes[opened.layout] ?? []
        where candidate.probe() && opened.isSame(as: candidate, compare: compare) {
            return candidate
        }
        let space = register(AddressSpace(manager: self, opened: opened, ticket: makeTicket(of: uid)))
        processes[opened.layout, default: []].append(space)
        return space
    }

    /// Address spaces that an opened process may turn out to have.
    func candidates(for opened: OpenedProcess) -> [AddressSpace] { processes[opened.layout] ?? [] }

    /// Processes of which the kernel has to say whether an opened one shares their address space.
    func comparable(with opened: OpenedProcess) -> Set<Int32> {
        guard let pid = opened.pid else { return [] }
        let spaces = (processes[opened.layout] ?? []).filter(\.isLive)
        return Set(spaces.flatMap { [$0.pid] + $0.sharers.map(\.pid) }.compactMap { $0 }).subtracting([pid])
    }

    func makeTicket(of uid: UInt32) -> ForeignTicket {
        nextWorkKey &+= 1
        return ForeignTicket(key: nextWorkKey, uid: uid)
    }

    private func register(_ space: AddressSpace) -> AddressSpace {
        lastSerial += 1
        space.serial = lastSerial
        all[ObjectIdentifier(space)] = space
        return space
    }

    /// The address space of a process that was known before a restart; one and the same for all sessions that had it.
    func restored(_ opened: OpenedProcess, serial: UInt64, for uid: UInt32) -> AddressSpace {
        if let known = all.values.first(where: { $0.restoredSerial == serial }) { return known }
        let space = register(AddressSpace(manager: self, opened: opened, ticket: makeTicket(of: uid)))
        space.restoredSerial = serial
        processes[opened.layout, default: []].append(space)
        return space
    }

    /// Restoring is over: what serials meant before means nothing any more.
    func forgetRestored() {
        for space in all.values { space.restoredSerial = nil }
    }

    /// Lets an address space go that no session knows any more.
    func releaseIfUnused(_ space: AddressSpace) {
        guard space.handles.isEmpty, space.attachments.isEmpty, !lent.has(space) else { return }
        all[ObjectIdentifier(space)] = nil
        processes[space.layout]?.removeAll { $0 === space }
        if processes[space.layout]?.isEmpty == true { processes[space.layout] = nil }
        space.dispose()
    }

    // MARK: Ends

    /// Whether an address space of a process can end unnoticed, so that ``probeAddressSpaces()`` is due in
    /// ``probeInterval`` nanoseconds at the latest.
    package var needsProbing: Bool { all.values.contains { $0.isLive && !$0.isSynthetic } }

    /// Looks which processes have ended their address spaces by exit or exec, or has somebody look: the owner's timer
    /// calls it twice in ``probeInterval``.
    package func probeAddressSpaces() {
        let spaces = all.values.filter { $0.isLive && !$0.isSynthetic && !$0.isBeingProbed }
        look(at: spaces) {}
    }

    /// Finds out which address spaces of processes still live.
    ///
    /// - Parameter completion: called when that is known: at once, or later.
    func look(at spaces: [AddressSpace], completion: @escaping () -> Void) {
        guard !memory.probesAtOnce else {
            for space in spaces { space.probe() }
            return completion()
        }
        // Who may only read has to wait for the address space itself.
        let groups = Dictionary(grouping: spaces.filter { $0.process != nil && $0.isLive }) { space in
            space.process?.isWritable == true ? ForeignProbe.ticket(of: space.ticket.uid) : space.ticket
        }
        var left = groups.values.reduce(0) { $0 + ($1.count + ForeignProbe.most - 1) / ForeignProbe.most }
        guard left > 0 else { return completion() }
        for (ticket, group) in groups {
            for start in stride(from: 0, to: group.count, by: ForeignProbe.most) {
                look(at: group[start..<min(start + ForeignProbe.most, group.count)], ticket) {
                    left -= 1
                    if left == 0 { completion() }
                }
            }
        }
    }

    private func look(at group: ArraySlice<AddressSpace>, _ ticket: ForeignTicket, done: @escaping () -> Void) {
        for space in group { space.isBeingProbed = true }
        memory.probe(group.compactMap(\.process), for: ticket) { answers in
            for (space, isAlive) in zip(group, answers) {
                space.isBeingProbed = false
                if !isAlive { space.exit() }
            }
            done()
        }
    }

    /// Tells every session that knows it.
    func ended(_ space: AddressSpace) {
        for handle in space.handles {
            emit(BackendEvent(.mmExit(mm: handle.id), context: handle.session.contextID))
        }
        for attachment in space.attachments {
            for bond in attachment.bonds { bond.session.announce(bond, state: "quiesced") }
        }
    }

    func announce(_ event: BackendEvent) { emit(event) }

    // MARK: Broadcast TLB maintenance

    /// A CPU's TLBI, as every SMMU hears it that takes part.
    func broadcastTLBI(_ space: AddressSpace, _ range: AddressRange?) {
        guard let asid = space.cpuASID else { return }
        for smmu in smmus where smmu.smmu.participatesInBroadcast {
            smmu.smmu.broadcastInvalidate(
                range.map { .address($0.start, length: $0.length, asid: asid, vmid: 0) } ?? .asid(asid, vmid: 0))
        }
    }
}

extension SVAManager: ProcessTransferring {
    /// Starts to move a piece between a device and the process behind a physical address.
    ///
    /// - Parameters:
    ///   - physicalAddress: in ``Machine/processSpace``.
    ///   - previous: the checksum of the pieces before.
    /// - Returns: nil if no live process is there; `completion` is not called then.
    package func begin(
        _ piece: DeviceOperation, at physicalAddress: UInt64, previous: UInt32?,
        completion: @escaping (TransferEnd) -> Void
    ) -> (any DataTransfer)? {
        guard let space = windows.space(at: physicalAddress), space.isLive, let memory = space.process else {
            return nil
        }
        return self.memory.move(piece, previous: previous, in: memory, for: space.ticket) { [weak self] result in
            switch result {
            case .success(let moved): completion(.moved(bytes: moved.bytes, checksum: moved.checksum))
            case .failure(.refused(let error)): completion(.failed(error))
            case .failure(.memory(.unreachable(let address))):
                // As if it had never been present: the next attempt faults on it.
                if self != nil, let page = AddressRange(start: address & ~0xfff, length: 4096) { space.zap(page) }
                completion(.unreachable(address))
            case .failure(.memory(.gone)):
                space.exit()
                completion(.stale)
            case .failure(.memory(.denied(let address))):
                // The whole window: what changed there probably changed around it too.
                let start = address & ~(ProcessWindows.size - 1)
                if self != nil, let range = AddressRange(start: start, length: ProcessWindows.size) { space.zap(range) }
                completion(.stale)
            }
        }
    }
}
