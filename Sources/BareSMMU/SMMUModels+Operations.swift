import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUFacts
import SMMUv3

/// What CPUs and devices of the guest do with a model.
extension SMMUModels {
    /// `vsmmu.mmio_write`
    ///
    /// - Returns: whether all commands it has made visible are consumed; else ``consumeVSMMUCommands(_:_:)`` goes on.
    @discardableResult
    package func mmioWrite(
        _ id: ObjectID, page: BareRegisterPage = .smmu, offset: UInt64, size: Int, value: UInt64
    ) throws(IOMMUError) -> Bool {
        let vsmmu = try vsmmu(id)
        announce(try vsmmu.write(page, offset, size: size, value: value), of: vsmmu)
        lookForNotices(of: vsmmu)
        return !vsmmu.isBusy
    }

    /// - Returns: whether that were the last commands.
    package func consumeVSMMUCommands(_ id: ObjectID, _ budget: inout TurnBudget) throws(IOMMUError) -> Bool {
        let vsmmu = try vsmmu(id)
        announce(vsmmu.consumeCommands(&budget), of: vsmmu)
        lookForNotices(of: vsmmu)
        return !vsmmu.isBusy
    }

    /// `vsmmu.tlbi`
    package func broadcastVSMMU(_ id: ObjectID, _ broadcast: BareBroadcast) throws(IOMMUError) -> Bool {
        let vsmmu = try vsmmu(id)
        defer { lookForNotices(of: vsmmu) }
        return vsmmu.broadcast(BroadcastInvalidation(broadcast))
    }

    /// `vsmmu.translate`: for real, with all its effects.
    package func translateVSMMU(
        _ id: ObjectID, _ transaction: TransactionRequest, trace: Bool = false
    ) throws(IOMMUError) -> TranslationResult {
        translate(try vsmmu(id), transaction, trace: trace)
    }

    /// `vsmmu.translate_many`: in order.
    package func translateVSMMU(
        _ id: ObjectID, many transactions: [TransactionRequest]
    ) throws(IOMMUError) -> [TranslationResult] {
        let vsmmu = try vsmmu(id)
        return transactions.map { translate(vsmmu, $0, trace: false) }
    }

    /// `vsmmu.page_request`
    package func requestPage(_ id: ObjectID, _ request: BarePageRequest) throws(IOMMUError) -> BarePageOutcome {
        let vsmmu = try vsmmu(id)
        let transaction = Transaction(request.transaction)
        let outcome = vsmmu.receive(
            PageRequest(
                streamID: transaction.streamID, substreamID: transaction.substreamID, address: transaction.address,
                access: transaction.access, privileged: transaction.privileged, prgIndex: request.group,
                isLast: request.isLast))
        lookForNotices(of: vsmmu)
        return switch outcome {
        case .queued: .queued
        case .answered(let answer): .answered(BarePageResponse(answer))
        case .discarded: .discarded
        }
    }

    // MARK: Moving it

    /// `vsmmu.save`
    package func saveVSMMU(_ id: ObjectID, memory: ObjectID, offset: UInt64) throws(IOMMUError) -> UInt64 {
        let image = StateImage.encode(try vsmmu(id).saveState())
        try owner.writeMemory(memory, offset: offset, bytes: image)
        return UInt64(image.count)
    }

    /// `vsmmu.load`
    package func loadVSMMU(_ id: ObjectID, memory: ObjectID, offset: UInt64) throws(IOMMUError) -> UInt64 {
        let vsmmu = try vsmmu(id)
        let header = try owner.readMemory(memory, offset: offset, length: StateImage.headerBytes)
        let length = try StateImage.length(header)
        try vsmmu.loadState(
            try StateImage.decode(try owner.readMemory(memory, offset: offset, length: length)))
        lookForNotices(of: vsmmu)
        return length
    }

    // MARK: What the VMM is told

    /// What the last operation has made, behind a word about what could not be told before.
    package func takeNotices(of id: ObjectID) -> [BareSMMUNotice] {
        hasNotices = false
        return vsmmus[id]?.notices.take() ?? []
    }

    /// So many that were taken could not be told.
    package func loseNotices(of id: ObjectID, _ count: UInt64) { vsmmus[id]?.notices.lose(count) }

    /// `vsmmu.stalls`
    package func stalls(of id: ObjectID) throws(IOMMUError) -> [BareStall] {
        try vsmmu(id).stalled.values.sorted { $0.id < $1.id }
    }

    @inline(__always)
    func lookForNotices(of vsmmu: VirtualSMMU) {
        if vsmmu.notices.hasAny { hasNotices = true }
    }

    private func announce(_ retries: [VirtualSMMU.Retry], of vsmmu: VirtualSMMU) {
        for retry in retries { announce(retry.translation, of: vsmmu, at: retry.transaction.address) }
    }

    /// Tells of a record that the event queue has, or will have as soon as it can be written.
    func announce(_ translation: Translation, of vsmmu: VirtualSMMU, at address: UInt64) {
        switch translation {
        case .fault(let record, recorded: true), .stalled(_, let record, _):
            owner.emit(.vsmmuEvent(vsmmu: vsmmu.id, FaultDescription(record, address: address)))
        case .fault(_, recorded: false), .ok, .held, .terminated: break
        }
    }

    /// `smmu.*` of a bare SMMU.
    package func inspection(of id: ObjectID) throws(IOMMUError) -> any SMMUInspection {
        BareInspection(try vsmmu(id))
    }

    // MARK: Results

    private func translate(
        _ vsmmu: VirtualSMMU, _ transaction: TransactionRequest, trace: Bool
    ) -> TranslationResult {
        let (result, stall) = vsmmu.translate(transaction, trace: trace)
        announce(result.translation, of: vsmmu, at: transaction.address)
        lookForNotices(of: vsmmu)
        let outcome = outcome(of: result.translation, stall: stall, vsmmu)
        guard trace else { return TranslationResult(outcome, isCached: result.isCached) }
        return TranslationResult(outcome, isCached: result.isCached, steps: result.steps.map { TranslationStep($0) })
    }

    /// As the owner of the SMMU is told of it: with the address that the record has, and whether the queue has it.
    private func outcome(of translation: Translation, stall: UInt64?, _ vsmmu: VirtualSMMU) -> TranslationOutcome {
        switch translation {
        case .ok(let output):
            return .translated(TranslationOutput(output))
        case .fault(let record, let isRecorded):
            var fault = FaultDescription(record)
            fault.isRecorded = isRecorded
            fault.isAborted = vsmmu.lastFaultAborts
            fault.nameIllegalField(behind: record, of: vsmmu.smmu)
            return .fault(fault)
        case .stalled(_, let record, let isRecorded):
            var fault = FaultDescription(record)
            fault.isRecorded = isRecorded
            return stall.map { .stalled($0, fault) } ?? .fault(fault)
        // A bare SMMU holds nothing back: nobody would send it again.
        case .held(let record):
            return .fault(FaultDescription(record))
        case .terminated(let reason):
            return .terminated(reason.rawValue)
        }
    }
}
