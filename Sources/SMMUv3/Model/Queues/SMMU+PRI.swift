/// What became of a page request.
public enum PageRequestOutcome: Equatable, Sendable {
    /// It lies in the PRI queue; software answers with CMD_PRI_RESP.
    case queued
    /// The SMMU answered in place of software (8.1, 8.2).
    case answered(PageRequestAnswer)
    /// It was dropped without an answer.
    case discarded
}

extension SMMU {
    var PRIQueue: QueueGeometry {
        QueueGeometry(
            register: registers.PRIQ_BASE, limit: features.maximumPRIQueue, entryBytes: UInt64(PageRequest.byteCount),
            OAS: features.OAS)
    }

    /// Receives a page request of a device.
    ///
    /// An answer that the SMMU gives itself is the result; the delegate is not called for it.
    public func receive(_ request: PageRequest) -> PageRequestOutcome {
        guard features.PRI, registers.isEnabled(CR0.SMMUEN), registers.isEnabled(CR0.PRIQEN),
            registers.activeErrors & GERROR.PRIQ_ABT_ERR == 0
        else {
            return answer(request, .ResponseFailure, withSubstream: false)
        }
        let queue = PRIQueue
        let isOverflowing = (registers.PRIQ_PROD ^ registers.PRIQ_CONS) & QueueIndex.overflow != 0
        if isOverflowing || queue.isFull(producer: registers.PRIQ_PROD, consumer: registers.PRIQ_CONS) {
            return overflow(request, isNew: !isOverflowing)
        }
        let address = queue.address(registers.PRIQ_PROD)
        guard memory.store64(address, request.word0), memory.store64(address + 8, request.word1) else {
            raiseError(GERROR.PRIQ_ABT_ERR)
            return answer(request, .ResponseFailure, withSubstream: false)
        }
        let wasEmpty = queue.isEmpty(producer: registers.PRIQ_PROD, consumer: registers.PRIQ_CONS)
        registers.PRIQ_PROD = queue.advance(registers.PRIQ_PROD)
        notifyPRI(request, wasEmpty: wasEmpty)
        return .queued
    }

    /// PRIQ_IRQ_CFG2.LO: interrupt at the last request of a group, else when the queue becomes non-empty (6.3.36).
    private func notifyPRI(_ request: PageRequest, wasEmpty: Bool) {
        let lastOnly = registers.PRIQ_IRQ_CFG2 & 1 << 31 != 0
        if lastOnly ? request.Last : wasEmpty {
            raise(.priQueue)
        }
    }

    /// The queue is full or still in overflow: the last request of a group is answered with success (8.1).
    private func overflow(_ request: PageRequest, isNew: Bool) -> PageRequestOutcome {
        if isNew {
            registers.PRIQ_PROD ^= QueueIndex.overflow
        }
        notifyPRI(request, wasEmpty: false)
        guard let substreamID = request.substream, features.SSIDSIZE != 0 else {
            return answer(request, .Success, withSubstream: false)
        }
        if features.PPS {
            return answer(request, .Success, withSubstream: true)
        }
        let probe = Transaction(
            streamID: request.StreamID, substreamID: substreamID, address: request.Address, access: .read)
        switch findSTE(probe, live: true) {
        case .found(let ste): return answer(request, .Success, withSubstream: ste.PPAR)
        case .failed(let event):
            recordATSError(event)
            return answer(request, .ResponseFailure, withSubstream: false)
        case .faulted: return answer(request, .ResponseFailure, withSubstream: false)
        }
    }

    private func answer(
        _ request: PageRequest, _ response: PageResponse, withSubstream: Bool
    ) -> PageRequestOutcome {
        guard request.Last, !request.isStopMarker else {
            // Without Last nobody waits for an answer, except that a failure is told at once (8.2).
            if response == .ResponseFailure && !request.isStopMarker {
                return .answered(make(request, response, withSubstream: withSubstream))
            }
            return .discarded
        }
        return .answered(make(request, response, withSubstream: withSubstream))
    }

    private func make(_ request: PageRequest, _ response: PageResponse, withSubstream: Bool) -> PageRequestAnswer {
        PageRequestAnswer(
            streamID: request.StreamID, substreamID: withSubstream ? request.substream : nil,
            prgIndex: request.PRGIndex, response: response)
    }
}
