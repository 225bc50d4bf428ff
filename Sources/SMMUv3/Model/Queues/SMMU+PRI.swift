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
    public func receive(_ message: PageRequest) -> PageRequestOutcome {
        // An SMMU without substreams cannot be presented with one (8, 6.3.2 SSIDSIZE).
        let request = features.SSIDSIZE == 0 ? message.withoutSubstream : message
        guard features.PRI, registers.isEnabled(CR0.SMMUEN), registers.isEnabled(CR0.PRIQEN),
            registers.activeErrors & GERROR.PRIQ_ABT_ERR == 0
        else {
            return fail(request)
        }
        let queue = PRIQueue
        let isOverflowing = (registers.PRIQ_PROD ^ registers.PRIQ_CONS) & QueueIndex.overflow != 0
        if isOverflowing || queue.isFull(producer: registers.PRIQ_PROD, consumer: registers.PRIQ_CONS) {
            return overflow(request, isNew: !isOverflowing)
        }
        let address = queue.address(registers.PRIQ_PROD)
        guard memory.store64(address, request.word0), memory.store64(address + 8, request.word1) else {
            raiseError(GERROR.PRIQ_ABT_ERR)
            return fail(request)
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

    /// The queue is full or still in overflow: the last request of a group is answered with success, all else is
    /// ignored without a look at its stream (8.1).
    private func overflow(_ request: PageRequest, isNew: Bool) -> PageRequestOutcome {
        if isNew {
            registers.PRIQ_PROD ^= QueueIndex.overflow
        }
        notifyPRI(request, wasEmpty: false)
        guard request.Last, !request.isStopMarker else {
            return .discarded
        }
        guard let substreamID = request.substream else {
            return .answered(answer(to: request, .Success))
        }
        if features.PPS {
            return .answered(answer(to: request, .Success, substreamID: substreamID))
        }
        let probe = Transaction(
            streamID: request.StreamID, substreamID: substreamID, address: request.Address, access: .read)
        switch findSTE(probe, live: true) {
        case .found(let ste):
            return .answered(answer(to: request, .Success, substreamID: ste.PPAR ? substreamID : nil))
        case .failed(let event):
            recordATSError(event)
            return fail(request)
        case .faulted: return fail(request)
        }
    }

    /// A failure is told of every request, last or not; a Stop Marker gets no answer (8.2).
    private func fail(_ request: PageRequest) -> PageRequestOutcome {
        request.isStopMarker ? .discarded : .answered(answer(to: request, .ResponseFailure))
    }

    private func answer(
        to request: PageRequest, _ response: PageResponse, substreamID: UInt32? = nil
    ) -> PageRequestAnswer {
        PageRequestAnswer(
            streamID: request.StreamID, substreamID: substreamID, prgIndex: request.PRGIndex, response: response)
    }
}
