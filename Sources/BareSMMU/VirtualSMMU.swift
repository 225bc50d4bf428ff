import CLinux
import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUv3

/// A bare SMMUv3 that the client itself programs: registers, and structures in the client's memory.
package final class VirtualSMMU: SMMUDelegate {
    /// In the context; 0 before it has one.
    package internal(set) var id: ObjectID = 0
    let smmu: SMMU<GuestMemory>
    let memory: GuestMemoryMap
    /// Where each interrupt is signalled.
    var signals: [Interrupt: SharedDescriptor] = [:]
    var pending: Set<Interrupt> = []
    /// What its VMM has to be told.
    var notices = NoticeQueue()
    /// Transactions that wait for the guest, by StreamID and tag.
    var stalled: [UInt64: BareStall] = [:]
    /// Of the last of them.
    var lastStall: UInt64 = 0
    /// Those that the model has to try again itself.
    var retries: [BareStall] = []
    /// Whether a VMM or its devices may keep translations.
    var (hasAnswered, hasAnsweredATS) = (false, false)
    /// The VMM's lane for translations.
    var ring: TranslationRing?
    /// What happens now is because of an entry of it.
    var isServingRing = false

    /// Commands between two looks at the time: each can cost a look at the whole TLB, some tens of microseconds.
    private static let commandsAtOnce = 16
    /// What they count for in a budget.
    private static let unitsOfCommands = 64
    /// At most so many, in so many nanoseconds, a register write carries out itself.
    private static let (commandsOfWrite, nanosecondsOfWrite): (Int, UInt64) = (1024, 500_000)
    /// Notices that wait at most before those that there are have been taken.
    private static let noticesAtOnce = 64

    /// - Throws: `EINVAL` naming the field that the model cannot honour.
    init(_ identification: Identification) throws(IOMMUError) {
        let memory = GuestMemoryMap()
        do {
            try identification.validateBare()
            smmu = try SMMU(memory: GuestMemory(map: memory), identification: identification)
        } catch {
            throw IOMMUError(
                .EINVAL, .idrNotModelled,
                "\(error.field) = \(hexadecimal(UInt64(error.value))) cannot be: \(error.explanation)",
                hint: "leave its register out of idr to have the model's own",
                ["field": .text(error.field), "value": .hex(UInt64(error.value))]
            )
        }
        self.memory = memory
        smmu.delegate = self
        smmu.commandsAtOnce = Self.commandsAtOnce
        smmu.reportsInvalidations = true
    }

    deinit { memory.removeAll() }

    /// Out of reset again: what was raised and has not been signalled is forgotten.
    func reset() {
        smmu.reset()
        forget()
    }

    /// What was stalled, and what was raised, is no more.
    func forget() {
        stalled = [:]
        retries = []
        pending = []
    }

    // MARK: Registers

    /// Beyond pages 0 and 1, which the owner answers for, everything reads as zero and ignores writes; and so beyond
    /// page 0 of the counters.
    ///
    /// - Throws: `EINVAL` for sizes and alignments that no bus would carry.
    func read(_ page: BareRegisterPage, _ offset: UInt64, size: Int) throws(IOMMUError) -> UInt64 {
        do {
            let offset = Self.registerOffset(offset)
            switch page {
            case .smmu: return try smmu.readRegister(offset, width: size)
            case .pmcg0: return try smmu.readMonitorRegister(offset, width: size)
            }
        } catch {
            throw Self.refusal(error, offset: offset, size: size)
        }
    }

    /// Everything that follows from it is done on return, but for commands of long queues: see ``isBusy``.
    ///
    /// - Returns: what became of transactions that stalled before without a record and were tried again.
    func write(
        _ page: BareRegisterPage, _ offset: UInt64, size: Int, value: UInt64
    ) throws(IOMMUError) -> [Retry] {
        guard size == 8 || value >> 32 == 0 else {
            throw IOMMUError(
                .EINVAL, .valueTooWide, "the value \(hexadecimal(value)) does not fit in \(size) bytes",
                hint: "write 8 bytes, or a smaller value", ["value": .hex(value)])
        }
        do {
            let offset = Self.registerOffset(offset)
            switch page {
            case .smmu: try smmu.writeRegister(offset, width: size, value: value)
            case .pmcg0: try smmu.writeMonitorRegister(offset, width: size, value: value)
            }
        } catch {
            throw Self.refusal(error, offset: offset, size: size)
        }
        if isBusy {
            var budget = TurnBudget(until: MonotonicClock.nanoseconds &+ Self.nanosecondsOfWrite)
            return consumeCommands(&budget, atMost: Self.commandsOfWrite - Self.commandsAtOnce)
        }
        deliver()
        return retryStalls()
    }

    /// Whether commands wait for ``consumeCommands(_:)``.
    var isBusy: Bool { smmu.waitingCommands > 0 }

    /// Some more of the commands that a write has made visible; as ``write(_:size:value:)`` otherwise.
    func consumeCommands(_ budget: inout TurnBudget, atMost limit: Int = .max) -> [Retry] {
        var commands = 0
        while isBusy, commands < limit, notices.count < Self.noticesAtOnce {
            let before = smmu.waitingCommands
            smmu.consumeWaitingCommands()
            // A CMD_SYNC that waits for the notices before it.
            if smmu.waitingCommands == before { break }
            commands += Self.commandsAtOnce
            if budget.isSpent(after: Self.unitsOfCommands) { break }
        }
        deliver()
        return retryStalls()
    }

    /// An offset with the same alignment where nothing is, for those that no register's number reaches.
    private static func registerOffset(_ offset: UInt64) -> UInt32 {
        UInt32(exactly: offset) ?? UInt32(truncatingIfNeeded: offset & 7) | 0xffff_fff0
    }

    private static func refusal(_ error: MMIOError, offset: UInt64, size: Int) -> IOMMUError {
        let (reason, message): (Reason, String) =
            switch error {
            case .badWidth: (.badWidth, "the register at \(hexadecimal(offset)) is not one of \(size) bytes")
            case .misaligned: (.misalignedRegister, "offset \(hexadecimal(offset)) is not a multiple of \(size) bytes")
            }
        return IOMMUError(
            .EINVAL, reason, message, hint: "access 4 bytes, or 8 at a multiple of 8",
            ["offset": .hex(offset), "size": .number(UInt64(max(size, 0)))])
    }

    // MARK: Transactions

    /// One transaction of a device, for real.
    func translate(_ request: TransactionRequest, trace: Bool) -> (inspection: Inspection, stall: UInt64?) {
        let transaction = Transaction(request)
        let steps = trace ? smmu.inspect(transaction, trace: true).steps : []
        let translation = smmu.translate(transaction)
        var stall: UInt64?
        var isCached = false
        switch translation {
        case .ok(let output):
            isCached = output.isCached
            noteAnswer(isOfATS: request.kind == .translationRequest)
        case .stalled(let tag, _, _): stall = self.stall(request, tag)
        case .fault, .held, .terminated: break
        }
        deliver()
        return (Inspection(translation: translation, isCached: isCached, steps: steps), stall)
    }

    /// The VMM, or a device with ATS, may keep what it has been told.
    @inline(__always)
    func noteAnswer(isOfATS: Bool) {
        if isOfATS { hasAnsweredATS = true } else { hasAnswered = true }
    }

    /// Whether the device of the last fault was told of an abort; else its access read zero or was ignored.
    var lastFaultAborts: Bool { smmu.lastFaultAborts }

    /// A device asks the guest for a page.
    func receive(_ request: PageRequest) -> PageRequestOutcome {
        let outcome = smmu.receive(request)
        deliver()
        return outcome
    }

    /// A CPU of the guest broadcasts an invalidation; whether it is heard.
    func broadcast(_ invalidation: BroadcastInvalidation) -> Bool {
        smmu.broadcastInvalidate(invalidation)
        return smmu.participatesInBroadcast
    }

    // MARK: What the SMMU tells

    /// On the connection of the call that brought it about, or in the ring where that has what it is about; what is
    /// invalidated is told in both.
    func tell(_ notice: BareSMMUNotice) {
        guard let ring else { return notices.add(notice) }
        switch notice {
        case .invalidate:
            notices.add(notice)
            if ring.hasAnswered { ring.add(notice) }
        case .resume(let stall, _, _) where ring.holds(stall): ring.add(notice)
        case .stall(let stall, _, _) where isServingRing || ring.holds(stall): ring.add(notice)
        case .message where isServingRing: ring.add(notice)
        default: notices.add(notice)
        }
    }

    /// Signals it once the register write is through.
    package func interruptRaised(_ interrupt: Interrupt) { pending.insert(interrupt) }

    /// The VMM is told what becomes of it.
    package func stallResolved(_ resolution: StallResolution) { resolve(resolution) }

    /// The VMM is told to forget.
    package func invalidated(_ invalidation: Invalidation) { note(invalidation) }

    /// The VMM forgets what its devices keep before it has the reply.
    package func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
        tell(.invalidate(BareInvalidation(invalidation)))
        return true
    }

    /// The VMM hands it to its device.
    package func pageRequestAnswered(_ answer: PageRequestAnswer) {
        tell(.pageResponse(BarePageResponse(answer)))
    }

    /// What is before a CMD_SYNC is told before it completes.
    package func maySynchronize() -> Bool { notices.isEmpty && ring?.isAcknowledged != false }

    /// The VMM wakes the guest's CPUs that wait for an event.
    package func eventSent() { tell(.event) }

    /// The counters' cycles are nanoseconds.
    package func cycles() -> UInt64 { MonotonicClock.nanoseconds }

    /// Where no memory lies the VMM has its interrupt controller.
    package func messageSignalled(address: UInt64, data: UInt32) -> Bool {
        guard memory.find(address) == nil else { return false }
        tell(.message(address: address, data: data))
        return true
    }
}
