import CLinux
import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUv3

/// A ring in memory that a VMM shares: it submits translations, and finds what has come of them, with the invalidations
/// of what it keeps, in one queue and in order.
final class TranslationRing: BareSMMURing {
    let descriptors: [SharedDescriptor]
    var entries: Int { queues.layout.entries }
    var length: UInt64 { queues.layout.bytes }
    var layout: RingLayout { queues.layout }
    /// Keeps the memory that the queues lie in.
    private let memory: MemoryObject
    private var queues: RingQueues
    private weak var vsmmu: VirtualSMMU?
    private weak var models: SMMUModels?
    private let loop: EventLoop
    private let user: UInt32
    private var watch: DescriptorWatch?
    private var isEnded = false
    /// A piece of it waits for its turn in the loop.
    private var isAwake = false
    /// It had nothing to do then, and has not had since.
    private var idleSince: UInt64?

    // MARK: What is to be told

    private var notices = NoticeQueue()
    /// The client may keep something that is invalidated.
    private(set) var hasAnswered = false
    /// Behind the last completion that the client has to acknowledge, and has not.
    private var unacknowledged: UInt32?
    /// Stalls that it was told of.
    private var stalls: Set<UInt64> = []
    private var waiters: [() -> Void] = []

    /// Entries from one look at the budget, and one signal, to the next.
    private static let atOnce = 16
    /// What an entry counts for in a budget.
    private static let unitsOfEntry = 2
    /// So long it is looked at after its last entry.
    private static let nanosecondsAwake: UInt64 = 50_000

    /// - Throws: `EMFILE`, `ENOMEM`, `EAGAIN`.
    init(
        _ layout: RingLayout, of vsmmu: VirtualSMMU, _ models: SMMUModels, loop: EventLoop, user: UInt32
    ) throws(IOMMUError) {
        (self.vsmmu, self.models, self.loop, self.user) = (vsmmu, models, loop, user)
        try VirtualSMMU.requireSignals()
        memory = try MemoryObject.creating(size: layout.bytes, name: "ring", huge: false)
        guard let base = memory.pointer else { throw Self.noMemory(layout.bytes) }
        let kick = try Self.makeEventfd()
        let wake = try Self.makeEventfd()
        descriptors = [SharedDescriptor(try memory.duplicateDescriptor()), kick, wake]
        queues = RingQueues(layout, at: base, wake: wake)
        do {
            watch = try loop.watchSignals(kick, of: user) { [weak self] in self?.wakeUp() }
        } catch {
            throw .noDescriptors
        }
    }

    private static func noMemory(_ bytes: UInt64) -> IOMMUError {
        IOMMUError(
            .ENOMEM, .noMemory, "the system gives the daemon no \(hexadecimal(bytes)) bytes for the ring",
            hint: "open a ring of fewer entries, or free memory", ["size": .hex(bytes)])
    }

    private static func makeEventfd() throws(IOMMUError) -> SharedDescriptor {
        let number = clinux_make_eventfd()
        guard number >= 0 else { throw .noDescriptors }
        return SharedDescriptor(Descriptor(adopting: number))
    }

    func close() {
        guard !isEnded else { return }
        let isUpToDate = isAcknowledged && !queues.isBroken && stalls.isEmpty
        isEnded = true
        watch?.end()
        if let vsmmu { models?.ringHasEnded(self, of: vsmmu, isUpToDate: isUpToDate) }
        callWaiters()
    }

    // MARK: Turns

    /// Looks at it in each turn until it has had no entry for a while.
    func wakeUp() {
        guard !isAwake, !isEnded else { return }
        isAwake = true
        idleSince = nil
        queues.wantKick(0)
        loop.onceATurn(for: user) { [weak self] budget in self?.goOn(&budget) ?? true }
    }

    /// - Returns: whether it sleeps now.
    private func goOn(_ budget: inout TurnBudget) -> Bool {
        guard let vsmmu else {
            isAwake = false
            return true
        }
        while !isEnded {
            if serve(vsmmu) {
                idleSince = nil
                if budget.isSpent(after: Self.atOnce * Self.unitsOfEntry) { return false }
                continue
            }
            let now = MonotonicClock.nanoseconds
            let since = idleSince ?? now
            idleSince = since
            if now &- since >= Self.nanosecondsAwake, fallsAsleep() { break }
            if budget.isSpent(after: 1) { return false }
            clinux_pause()
        }
        isAwake = false
        return true
    }

    /// The client is to signal what it does from now on; false if it has done something before it could know.
    private func fallsAsleep() -> Bool {
        let forRoom = !isAcknowledged || !notices.isEmpty || queues.waitingSubmissions() > 0
        queues.wantKick(RingLayout.kickForSubmissions | (forRoom ? RingLayout.kickForRoom : 0))
        guard canServe() else { return true }
        queues.wantKick(0)
        return false
    }

    /// Whether ``serve(_:)`` would find something to do.
    private func canServe() -> Bool {
        guard !queues.isBroken else { return false }
        if !waiters.isEmpty, isAcknowledged { return true }
        return queues.hasRoom() && (queues.waitingSubmissions() > 0 || !notices.isEmpty)
    }

    /// Does some of what there is to do, and publishes it.
    ///
    /// - Returns: whether there was anything.
    private func serve(_ vsmmu: VirtualSMMU) -> Bool {
        var done = 0
        if !notices.isEmpty { flushNotices(&done) }
        let waiting = queues.waitingSubmissions()
        if waiting > 0 { submit(min(waiting, Self.atOnce), to: vsmmu, &done) }
        if done > 0 { queues.publish() }
        if !waiters.isEmpty, isAcknowledged { callWaiters() }
        return done > 0
    }

    private func submit(_ count: Int, to vsmmu: VirtualSMMU, _ done: inout Int) {
        for _ in 0..<count {
            // What is told because of a transaction comes before what is submitted after it.
            guard notices.isEmpty, queues.hasRoom() else { return }
            translate(queues.nextSubmission(), vsmmu)
            done += 1
            if !notices.isEmpty { flushNotices(&done) }
        }
    }

    // MARK: Translations

    @inline(__always)
    private func translate(_ submission: RingSubmission, _ vsmmu: VirtualSMMU) {
        guard let transaction = submission.transaction else {
            return queues.complete(RingCompletion(.refused, tag: submission.tag, extra: UInt32(Glibc.EINVAL)))
        }
        vsmmu.isServingRing = true
        let translation = vsmmu.smmu.translate(transaction)
        if case .ok(let output) = translation {
            hasAnswered = true
            vsmmu.noteAnswer(isOfATS: transaction.addressType == .translationRequest)
            queues.complete(RingCompletion(output, tag: submission.tag))
        } else {
            settle(translation, transaction, tag: submission.tag, vsmmu)
        }
        vsmmu.deliver()
        vsmmu.isServingRing = false
    }

    @inline(never)
    private func settle(_ translation: Translation, _ transaction: Transaction, tag: UInt64, _ vsmmu: VirtualSMMU) {
        models?.announce(translation, of: vsmmu, at: transaction.address)
        switch translation {
        case .fault(let record, let isRecorded):
            let aborts = vsmmu.lastFaultAborts
            queues.complete(RingCompletion(fault: record, isRecorded: isRecorded, aborts: aborts, tag: tag))
        case .stalled(let STAG, let record, let isRecorded):
            let stall = vsmmu.stall(TransactionRequest(transaction), STAG)
            stalls.insert(stall)
            queues.complete(
                RingCompletion(stall: stall, STAG: STAG, record: record, isRecorded: isRecorded, tag: tag))
        case .held(let record):
            queues.complete(RingCompletion(fault: record, isRecorded: false, aborts: true, tag: tag))
        case .terminated(let reason): queues.complete(RingCompletion(reason, tag: tag))
        case .ok: break
        }
    }

    // MARK: Notices

    /// The client waits with this stall, and has to be told of its end.
    func holds(_ stall: UInt64) -> Bool { stalls.contains(stall) }

    /// Tells the client when there is room. Subscribers have copies of what nobody else is told.
    func add(_ notice: BareSMMUNotice) {
        guard !queues.isBroken, !isEnded else { return }
        switch notice {
        case .invalidate: break
        // The completion says it.
        case .stall: return emit(notice)
        case .resume(let stall, _, _):
            stalls.remove(stall)
            emit(notice)
        default: emit(notice)
        }
        notices.add(notice)
        wakeUp()
    }

    private func emit(_ notice: BareSMMUNotice) {
        guard let vsmmu, let models else { return }
        models.owner.emit(.vsmmuNotice(vsmmu: vsmmu.id, notice))
    }

    private func flushNotices(_ done: inout Int) {
        while let notice = notices.first, queues.hasRoom() {
            notices.removeFirst()
            guard let completion = RingCompletion(notice) else { continue }
            queues.complete(completion)
            if case .invalidate = notice { unacknowledged = queues.completionTail }
            done += 1
        }
    }

    // MARK: Acknowledgement

    /// The client has moved the head beyond all invalidations; what has ended or is broken is not waited for.
    var isAcknowledged: Bool {
        guard !queues.isBroken, !isEnded else { return true }
        guard notices.isEmpty else { return false }
        guard let end = unacknowledged else { return true }
        guard queues.isRead(upTo: end) else { return queues.isBroken }
        unacknowledged = nil
        return true
    }

    func whenAcknowledged(_ body: @escaping () -> Void) {
        waiters.append(body)
        wakeUp()
    }

    private func callWaiters() {
        let waiting = waiters
        waiters = []
        for body in waiting { body() }
    }
}
