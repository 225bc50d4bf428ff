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
    private var signals: [Interrupt: SharedDescriptor] = [:]
    private var pending: Set<Interrupt> = []
    /// Transactions that stalled while the event queue took no record, by StreamID and tag.
    private var unrecorded: [UInt64: Transaction] = [:]
    /// Those that the model has to try again itself.
    private var retries: [Transaction] = []

    /// Commands between two looks at the time: each can cost a look at the whole TLB, some tens of microseconds.
    private static let commandsAtOnce = 16
    /// What they count for in a budget.
    private static let unitsOfCommands = 64
    /// At most so many, in so many nanoseconds, a register write carries out itself.
    private static let (commandsOfWrite, nanosecondsOfWrite): (Int, UInt64) = (1024, 500_000)

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
    }

    deinit { memory.removeAll() }

    /// Out of reset again: what was raised and has not been signalled is forgotten.
    func reset() {
        smmu.reset()
        unrecorded = [:]
        retries = []
        pending = []
    }

    // MARK: Registers

    /// Beyond pages 0 and 1, which the owner answers for, everything reads as zero and ignores writes.
    ///
    /// - Throws: `EINVAL` for sizes and alignments that no bus would carry.
    func read(_ offset: UInt64, size: Int) throws(IOMMUError) -> UInt64 {
        do {
            return try smmu.readRegister(Self.registerOffset(offset), width: size)
        } catch {
            throw Self.refusal(error, offset: offset, size: size)
        }
    }

    /// Everything that follows from it is done on return, but for commands of long queues: see ``isBusy``.
    ///
    /// - Returns: what became of transactions that stalled before without a record and were tried again.
    func write(_ offset: UInt64, size: Int, value: UInt64) throws(IOMMUError) -> [Retry] {
        guard size == 8 || value >> 32 == 0 else {
            throw IOMMUError(
                .EINVAL, .valueTooWide, "the value \(hexadecimal(value)) does not fit in \(size) bytes",
                hint: "write 8 bytes, or a smaller value", ["value": .hex(value)])
        }
        do {
            try smmu.writeRegister(Self.registerOffset(offset), width: size, value: value)
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
        while isBusy, commands < limit {
            smmu.consumeWaitingCommands()
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
    func translate(_ transaction: Transaction, trace: Bool) -> Inspection {
        let steps = trace ? smmu.inspect(transaction, trace: true).steps : []
        let translation = smmu.translate(transaction)
        if case .stalled(let tag, let event, recorded: false) = translation {
            unrecorded[Self.key(event.StreamID, tag)] = transaction
        }
        var isCached = false
        if case .ok(let output) = translation { isCached = output.isCached }
        deliver()
        return Inspection(translation: translation, isCached: isCached, steps: steps)
    }

    /// Whether the device of the last fault was told of an abort; else its access read zero or was ignored.
    var lastFaultAborts: Bool { smmu.lastFaultAborts }

    /// A transaction that was tried again, and what became of it.
    typealias Retry = (transaction: Transaction, translation: Translation)

    /// Software cannot ask for the retry of what it was never told of, so that the model tries again itself (7.2.1).
    private func retryStalls() -> [Retry] {
        let waiting = retries
        retries = []
        return waiting.map { ($0, translate($0, trace: false).translation) }
    }

    private static func key(_ streamID: UInt32, _ tag: UInt16) -> UInt64 { UInt64(streamID) << 16 | UInt64(tag) }

    // MARK: Interrupts

    /// Signals an eventfd at each interrupt; nil stops.
    ///
    /// - Throws: `EINVAL` for what is no eventfd, `EAGAIN` or `EMFILE` where the daemon could not signal it.
    func setSignal(_ interrupt: Interrupt, _ descriptor: consuming Descriptor?) throws(IOMMUError) {
        guard let descriptor else { return signals[interrupt] = nil }
        try Self.checkSignal(descriptor)
        signals[interrupt] = SharedDescriptor(descriptor)
    }

    /// Whether an eventfd is signalled at this interrupt.
    func hasSignal(_ interrupt: Interrupt) -> Bool { signals[interrupt] != nil }

    /// Eventfds that are signalled.
    var signalCount: Int { signals.count }

    private static func checkSignal(_ descriptor: borrowing Descriptor) throws(IOMMUError) {
        guard linkTarget(ofDescriptor: descriptor.number) == "anon_inode:[eventfd]" else {
            throw IOMMUError(
                .EINVAL, .notAnEventfd, "the descriptor is not an eventfd",
                hint: "make one with eventfd(2)")
        }
        // Later nobody could be told.
        switch -clinux_prepare_signals() {
        case 0: return
        case Glibc.EMFILE, Glibc.ENFILE:
            throw .noDescriptors
        default:
            throw IOMMUError(
                .EAGAIN, .noSignals, "the system gives the daemon no asynchronous I/O to signal eventfds with",
                hint: "raise fs.aio-max-nr, or look at the interrupt registers instead")
        }
    }

    private func deliver() {
        guard !pending.isEmpty else { return }
        let raised = pending
        pending = []
        for interrupt in raised {
            guard let descriptor = signals[interrupt] else { continue }
            // What it takes is there since the descriptor was accepted. A counter that overflows stays readable:
            // nothing is lost but the count.
            _ = clinux_signal_eventfd(descriptor.number)
        }
    }

    /// Signals it once the register write is through.
    package func interruptRaised(_ interrupt: Interrupt) { pending.insert(interrupt) }
    /// Stalled transactions have no device that would go on: their retry is the client's, if it was told of them.
    package func stallResolved(_ resolution: StallResolution) {
        let transaction = unrecorded.removeValue(forKey: Self.key(resolution.streamID, resolution.STAG))
        if let transaction, resolution.action == .retry, !resolution.isRecorded {
            retries.append(transaction)
        }
    }
    /// There are no devices that cache translations here.
    package func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool { true }
    /// There are no devices that ask for pages here.
    package func pageRequestAnswered(_ answer: PageRequestAnswer) {}
}
