import IOMMU
import SMMUv3

/// The devices behind one SMMU: their accesses, and what the SMMU sends back to them.
///
/// An access that meets a stall or asks for a page is parked and goes on when the SMMU says so. The engine takes the
/// place of the SMMU's delegate and passes everything on to the one it found there, the driver.
package final class DMAEngine: SMMUDelegate {
    struct StallKey: Hashable {
        let streamID: UInt32
        let tag: UInt16
    }

    struct RequestKey: Hashable {
        let streamID: UInt32
        let index: UInt16
    }

    /// An access that waits for CMD_RESUME, and what the SMMU has reported of it.
    struct Stalled {
        let access: DeviceAccess
        let record: EventRecord
        let address: UInt64
    }

    let smmu: SMMU<MachineMemory>
    let machine: Machine
    let executor: any WorkExecutor
    /// Lets the driver look at its event and PRI queues; it may answer faults at once.
    private let serviceInterrupts: () -> Void
    /// Knows nothing of the engine; a weak reference would make every access to the driver a slow one.
    private let driver: (any SMMUDelegate)?
    var stalled: [StallKey: Stalled] = [:]
    /// What devices with ATS keep, by StreamID.
    var caches: [UInt32: TranslationCache] = [:]
    var places: StallPlaces
    var requested: [RequestKey: DeviceAccess] = [:]
    /// Those whose data somebody moves.
    var transferring: [DeviceAccess] = []
    /// Long accesses between two pieces, until their next turn.
    var due: [ObjectIdentifier: DeviceAccess] = [:]
    var nextRequest: UInt16 = 0
    /// By stream: all groups of the device are in use.
    var groupless: [UInt32: [DeviceAccess]] = [:]
    /// Configuration has changed while somebody waits.
    var mustReconsider = false
    private var ready: [DeviceAccess] = []
    /// Verdicts of the SMMU; passed on when it is no longer on the call stack.
    private var settled: [(access: DeviceAccess, result: Result<DeviceOutcome, IOMMUError>)] = []
    private var isPumping = false
    private var isPumpScheduled = false
    var hasInterrupt = false
    /// Moves data of processes, which may block. It knows the engine and lives as long.
    package unowned var processTransfers: (any ProcessTransferring)?
    /// Moves data of processes whose pages are mapped. As above.
    package unowned var lentMemory: (any LentMemory)?

    /// - Parameters:
    ///   - executor: brings the engine back to the owning thread after callbacks that nobody pumps for.
    ///   - serviceInterrupts: what the CPU does when an interrupt line was raised.
    package init(
        smmu: SMMU<MachineMemory>, machine: Machine, executor: any WorkExecutor, serviceInterrupts: @escaping () -> Void
    ) {
        self.smmu = smmu
        self.machine = machine
        self.executor = executor
        self.serviceInterrupts = serviceInterrupts
        driver = smmu.delegate
        places = StallPlaces(capacity: smmu.stallCapacity)
        smmu.delegate = self
        // Devices wait at the port of an SMMU that has no room for their stalls.
        smmu.stallOverflow = .hold
        smmu.reportsConfiguration = false
    }

    // MARK: Accesses

    /// Starts an access; its `result` is set on return unless it has to wait.
    package func start(_ access: DeviceAccess) {
        ready.append(access)
        pump()
    }

    /// Goes on with everything that no longer waits. Callers that answer faults call it afterwards.
    package func pump() {
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        repeat {
            while hasInterrupt {
                hasInterrupt = false
                serviceInterrupts()
            }
            let verdicts = settled
            settled.removeAll()
            for verdict in verdicts { verdict.access.finish(verdict.result) }
            let batch = ready
            ready.removeAll(keepingCapacity: true)
            for access in batch where access.result == nil { step(access) }
            if mustReconsider { reconsider() }
            stepHeld()
        } while hasInterrupt || !ready.isEmpty || !settled.isEmpty || mustReconsider
    }

    /// For callbacks out of the SMMU, which must not be called back before they have returned.
    private func schedulePump() {
        guard !isPumping, !isPumpScheduled else { return }
        isPumpScheduled = true
        executor.later { [weak self] in
            self?.isPumpScheduled = false
            self?.pump()
        }
    }

    /// Ends an access that waits: the device gives up, and whoever answers its fault later answers nobody.
    package func terminate(_ access: DeviceAccess, with error: IOMMUError) {
        for (key, waiting) in stalled where waiting.access === access {
            stalled[key] = nil
            // All devices of the SMMU share the places for stalls (IDR5.STALL_MAX).
            smmu.withdrawStall(streamID: key.streamID, STAG: key.tag)
            places.giveBack(access.owner)
        }
        forget(access)
        access.fail(error)
        if !ready.isEmpty || !places.isNobodyWaiting { schedulePump() }
    }

    /// Ends all accesses of a stream (and PASID) that wait.
    package func terminateAll(streamID: UInt32, pasid: UInt32?, with error: IOMMUError) {
        let waiting =
            stalled.values.map(\.access) + Array(requested.values) + transferring + Array(due.values)
            + waiting(streamID: streamID)
        for access in waiting where access.streamID == streamID && access.pasid == pasid {
            terminate(access, with: error)
        }
    }

    func step(_ access: DeviceAccess) {
        let piece = access.piece
        access.attempts += 1
        guard access.attempts <= access.attemptLimit(of: piece) else {
            return access.fail(
                IOMMUError(
                    .EFAULT, .faultNotResolved,
                    "the faults of \(span(piece.length, at: piece.start)) were answered, and not resolved",
                    hint: "map what an access needs before its fault is answered with success",
                    ["address": .hex(piece.start), "attempts": .number(UInt64(access.attempts - 1))]))
        }
        let spans = access.spans(of: piece)
        var source: [DeviceAccess.Segment] = []
        var target: [DeviceAccess.Segment] = []
        if let span = spans.source {
            guard translate(span, of: access, into: &source) else { return }
        }
        if let span = spans.target {
            guard translate(span, of: access, into: &target) else { return }
        }
        access.ticket = nil
        move(piece, of: access, source: source, target: target)
    }

    /// Lets an access go on with the next turn of the pump.
    func makeReady(_ access: DeviceAccess) { ready.append(access) }

    private func move(
        _ piece: DeviceOperation, of access: DeviceAccess, source: [DeviceAccess.Segment],
        target: [DeviceAccess.Segment]
    ) {
        if let first = source.first ?? target.first, machine.processSpace.contains(first.address) {
            // Longer ones cost the loop no more there, and their processes less.
            guard !access.lengthensPieces(beyond: piece.length) else { return makeReady(access) }
            return moveInProcess(piece, of: access, segment: first)
        }
        if (source + target).contains(where: { machine.lentSpace.contains($0.address) }) {
            return LentTransfer(self, piece, of: access, source: source, target: target).begin()
        }
        let output = (source.first ?? target.first)?.address ?? 0
        do throws(IOMMUError) {
            for segment in target { try machine.payForHoles(segment.address, length: segment.length) }
        } catch {
            return access.fail(error)
        }
        guard
            let (bytes, checksum) = WindowTransfer(machine: machine, source: source, target: target)
                .perform(piece, previous: access.outcome.checksum)
        else {
            return access.fail(.noMemory(at: output))
        }
        proceed(access, after: piece, bytes: bytes, checksum: checksum)
    }

    func proceed(_ access: DeviceAccess, after piece: DeviceOperation, bytes: [UInt8], checksum: UInt32?) {
        if access.advance(piece, bytes: bytes, checksum: checksum) {
            access.finish(.success(access.outcome))
        } else if access.mayGoOn(after: piece.length) {
            ready.append(access)
        } else {
            waitForTurn(access)
        }
    }

    // MARK: SMMUDelegate

    /// An interrupt line was raised: the driver looks at its queues at the next turn of the pump.
    package func interruptRaised(_ interrupt: Interrupt) {
        hasInterrupt = true
        schedulePump()
        driver?.interruptRaised(interrupt)
    }

    /// CMD_RESUME or CMD_STALL_TERM has been carried out (IHI 0070, 4.7.1, 4.7.2): the stalled access is tried again,
    /// or ends without data or with the fault.
    package func stallResolved(_ resolution: StallResolution) {
        driver?.stallResolved(resolution)
        let key = StallKey(streamID: resolution.streamID, tag: resolution.STAG)
        guard let waiting = stalled.removeValue(forKey: key) else { return }
        places.giveBack(waiting.access.owner)
        switch resolution.action {
        case .retry: ready.append(waiting.access)
        case .terminate(abort: false):
            settled.append((waiting.access, .success(readAsZero(waiting.access.operation))))
        case .terminate(abort: true):
            let error =
                waiting.access.cause ?? ending(waiting.access, at: waiting.address)
                ?? waiting.access.failure(waiting.record, at: waiting.address)
            settled.append((waiting.access, .failure(error)))
        }
        schedulePump()
    }

    /// CMD_ATC_INV (IHI 0070, 4.5.1): the device forgets translations.
    ///
    /// - Returns: whether the device has answered in time; else the next CMD_SYNC fails.
    package func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
        caches[invalidation.streamID]?.invalidate(invalidation)
        return driver?.invalidateTranslations(invalidation) ?? true
    }

    /// CMD_PRI_RESP (IHI 0070, 4.5.2): accesses of the group go on, or end in `EFAULT`.
    package func pageRequestAnswered(_ answer: PageRequestAnswer) {
        driver?.pageRequestAnswered(answer)
        let key = RequestKey(streamID: answer.streamID, index: answer.prgIndex)
        guard let access = requested.removeValue(forKey: key) else { return }
        giveBackGroup(of: answer.streamID)
        switch answer.response {
        case .Success: ready.append(access)
        case .InvalidRequest, .ResponseFailure:
            let error = access.cause ?? ending(access, at: nil) ?? pageRequestFailed(access)
            settled.append((access, .failure(error)))
        }
        schedulePump()
    }

    /// STEs or CDs may have changed: accesses that wait for a place are looked at anew.
    package func configurationInvalidated() {
        guard !places.isNobodyWaiting || !groupless.isEmpty else {
            smmu.reportsConfiguration = false
            return
        }
        mustReconsider = true
        schedulePump()
    }
}
