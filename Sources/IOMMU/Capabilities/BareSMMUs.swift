import LinuxIO

/// ``Capability/bareSMMUs``: SMMUv3 models that the client itself programs, through registers, queues and tables in its
/// own memory objects.
package protocol BareSMMUs: AnyObject {
    /// `vsmmu.create`: a device out of reset.
    ///
    /// - Parameters:
    ///   - identity: whose ID registers it has.
    ///   - overrides: whole words in the place of those.
    /// - Throws: `EINVAL` naming the field that cannot be honoured, `EDQUOT`.
    func createVSMMU(_ identity: BareIdentity, overrides: [IDRegister: UInt32]) throws(IOMMUError) -> ObjectID
    /// `vsmmu.reset`: out of reset again, with its id, memory and eventfds; `ENOENT`.
    func resetVSMMU(_ vsmmu: ObjectID) throws(IOMMUError)
    /// `vsmmu.save`: all but memory, eventfds and what caches hold, into a memory object; bytes written.
    ///
    /// - Throws: `ENOENT`; what writing to the memory object meets.
    func saveVSMMU(_ vsmmu: ObjectID, memory: ObjectID, offset: UInt64) throws(IOMMUError) -> UInt64
    /// `vsmmu.load`: becomes what was saved; bytes read.
    ///
    /// - Throws: `ENOENT`; what reading the memory object meets; `EINVAL` for what is no state of such an SMMU.
    func loadVSMMU(_ vsmmu: ObjectID, memory: ObjectID, offset: UInt64) throws(IOMMUError) -> UInt64
    /// `vsmmu.destroy`; `ENOENT`.
    func destroyVSMMU(_ vsmmu: ObjectID) throws(IOMMUError)
    /// `vsmmu.memory`: part of a memory object at a guest physical address, in multiples of 4096 bytes.
    ///
    /// - Throws: `ENOENT`; `EINVAL` for misalignment or a range outside the memory, `EEXIST` for an overlap, `EDQUOT`.
    func mapVSMMUMemory(
        _ vsmmu: ObjectID, memory: ObjectID, offset: UInt64, length: UInt64, gpa: UInt64
    ) throws(IOMMUError)
    /// `vsmmu.unmap_memory`: the whole range that begins there; `ENOENT` if none does.
    func unmapVSMMUMemory(_ vsmmu: ObjectID, gpa: UInt64) throws(IOMMUError)
    /// `vsmmu.mmio_read`: 4 or 8 bytes. `ENOENT`; `EINVAL` for what no bus would carry.
    func mmioRead(
        _ vsmmu: ObjectID, page: BareRegisterPage, offset: UInt64, size: Int
    ) throws(IOMMUError) -> UInt64
    /// `vsmmu.mmio_write`. `ENOENT`; `EINVAL` for what no bus would carry.
    ///
    /// - Returns: whether all commands it has made visible are consumed; else ``consumeVSMMUCommands(_:_:)`` goes on.
    func mmioWrite(
        _ vsmmu: ObjectID, page: BareRegisterPage, offset: UInt64, size: Int, value: UInt64
    ) throws(IOMMUError) -> Bool
    /// Some more of the commands that a write has made visible, as the budget allows; `ENOENT`. A CMD_SYNC waits until
    /// the notices of what is before it have been taken.
    ///
    /// - Returns: whether those were the last.
    func consumeVSMMUCommands(_ vsmmu: ObjectID, _ budget: inout TurnBudget) throws(IOMMUError) -> Bool
    /// `vsmmu.tlbi`; `ENOENT`.
    ///
    /// - Returns: whether the SMMU hears broadcasts (IDR0.BTM = 1 and CR2.PTM = 0).
    func broadcastVSMMU(_ vsmmu: ObjectID, _ broadcast: BareBroadcast) throws(IOMMUError) -> Bool

    /// Whether the last operation has made notices, or there are some that could not be told.
    var hasNotices: Bool { get }
    /// What the VMM has to be told of the last operation. The caller sees to it; the model has forgotten it.
    func takeNotices(of vsmmu: ObjectID) -> [BareSMMUNotice]
    /// So many of them could not be told: the next that are taken begin with ``BareSMMUNotice/lost(_:)``.
    func loseNotices(of vsmmu: ObjectID, _ count: UInt64)
    /// `vsmmu.stalls`: what waits for the guest, oldest first; `ENOENT`.
    func stalls(of vsmmu: ObjectID) throws(IOMMUError) -> [BareStall]
    /// `vsmmu.translate`: for real, with all its effects; `ENOENT`.
    ///
    /// - Parameter trace: whether the walk is wanted.
    func translateVSMMU(
        _ vsmmu: ObjectID, _ transaction: TransactionRequest, trace: Bool
    ) throws(IOMMUError) -> TranslationResult
    /// `vsmmu.translate_many`: in order, one result for each; `ENOENT`.
    func translateVSMMU(
        _ vsmmu: ObjectID, many transactions: [TransactionRequest]
    ) throws(IOMMUError) -> [TranslationResult]
    /// `smmu.*` of a bare SMMU, where names of SMMUs say nothing and all may be seen; `ENOENT`.
    func inspection(of vsmmu: ObjectID) throws(IOMMUError) -> any SMMUInspection
    /// `vsmmu.page_request`: a device asks the guest for a page; `ENOENT`.
    func requestPage(_ vsmmu: ObjectID, _ request: BarePageRequest) throws(IOMMUError) -> BarePageOutcome
    /// `vsmmu.ring_open`: a ring in shared memory for the VMM's translations.
    ///
    /// - Parameters:
    ///   - entries: submissions that it holds at least, 1 to 4096.
    ///   - loop: has its turns in it.
    ///   - user: whose turns they are.
    /// - Throws: `ENOENT`; `EBUSY` if it has one, `EDQUOT`, `EMFILE`, `ENOMEM`, `EAGAIN` without signals.
    func openRing(
        _ vsmmu: ObjectID, entries: Int, loop: EventLoop, user: UInt32
    ) throws(IOMMUError) -> any BareSMMURing
    /// `vsmmu.ring_close`: `ENOENT` for an unknown SMMU, or one that has none.
    func closeRing(_ vsmmu: ObjectID) throws(IOMMUError)
    /// Whether the ring's client has acknowledged all that it was told; without a ring, true.
    ///
    /// - Parameter body: called once if it has not: as soon as it has, or its ring ends.
    func isAcknowledged(_ vsmmu: ObjectID, orThen body: @escaping () -> Void) -> Bool
    /// `vsmmu.set_irq`: signals an eventfd at each interrupt; nil stops.
    ///
    /// - Throws: `ENOENT`; `EINVAL` for what is no eventfd, `EAGAIN` or `EMFILE` where it could not be signalled.
    func setVSMMUInterrupt(
        _ vsmmu: ObjectID, _ interrupt: BareInterrupt, descriptor: consuming Descriptor?
    ) throws(IOMMUError)
}

/// A ring in memory that the daemon shares with a VMM.
package protocol BareSMMURing: AnyObject {
    /// The memory, the eventfd that the VMM signals, and that which the daemon signals.
    var descriptors: [SharedDescriptor] { get }
    /// How many submissions it holds.
    var entries: Int { get }
    /// Bytes of the memory.
    var length: UInt64 { get }
    /// Ends it, if it has not ended.
    func close()
}

/// Sets of ID registers that guests can do with, as requests name them.
package enum BareIdentity: String, Sendable, CaseIterable {
    /// The laboratory's smmu0 with HYP and MSI, as SMMUv3.1.
    case standard = "default"
    /// For Linux of any page size.
    case linux
    /// QEMU's.
    case qemu
    /// 64 streams in a linear table: for hypervisors that know no other.
    case small
    /// All that the model has.
    case full
}

/// The identification registers of an SMMUv3 (6.3.1 to 6.3.6, 6.3.14, 6.3.15).
package enum IDRegister: String, Sendable, CaseIterable {
    case IDR0, IDR1, IDR2, IDR3, IDR4, IDR5, IIDR, AIDR
}

/// The interrupts of an SMMUv3, as requests name them.
package enum BareInterrupt: String, Sendable, CaseIterable {
    case evtq
    case priq
    case commandSync = "cmdq-sync"
    case gerror
    case pmcg0
}

/// What registers an SMMUv3 has, as requests name them.
package enum BareRegisterPage: String, Sendable, CaseIterable {
    /// Pages 0 and 1 of the Non-secure programming interface (6.1).
    case smmu
    /// Page 0 of the Performance Monitor Counter Group (10.5).
    case pmcg0
}
