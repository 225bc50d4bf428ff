import IOMMU
import SMMUv3

/// Transactions that wait for the guest: the VMM has their devices, and is told what becomes of them.
extension VirtualSMMU {
    /// A transaction that was tried again by the model, and what became of it.
    typealias Retry = (transaction: TransactionRequest, translation: Translation)

    static func key(_ streamID: UInt32, _ tag: UInt16) -> UInt64 { UInt64(streamID) << 16 | UInt64(tag) }

    /// Holds a transaction; what the VMM calls it.
    func stall(_ request: TransactionRequest, _ tag: UInt16) -> UInt64 {
        lastStall += 1
        hold(BareStall(id: lastStall, tag: tag, transaction: request))
        return lastStall
    }

    func hold(_ stall: BareStall) {
        let streamID = stall.transaction.streamID
        stalled[Self.key(streamID, stall.tag)] = stall
        tell(.stall(id: stall.id, streamID: streamID, tag: stall.tag))
    }

    func resolve(_ resolution: StallResolution) {
        guard let stall = stalled.removeValue(forKey: Self.key(resolution.streamID, resolution.STAG)) else { return }
        // Software cannot ask for the retry of what it was never told of, so that the model tries again itself (7.2.1).
        if resolution.action == .retry, !resolution.isRecorded { return retries.append(stall) }
        let action: BareStallAction =
            switch resolution.action {
            case .retry: .retry
            case .terminate(let aborts): aborts ? .abort : .terminate
            }
        tell(.resume(id: stall.id, streamID: resolution.streamID, action))
    }

    /// What waits, and still does after another try, keeps its id; of what does not, the VMM is told.
    func retryStalls() -> [Retry] {
        let waiting = retries
        retries = []
        return waiting.map { stall in
            let translation = smmu.translate(Transaction(stall.transaction))
            let streamID = stall.transaction.streamID
            switch translation {
            case .stalled(let tag, _, _): hold(BareStall(id: stall.id, tag: tag, transaction: stall.transaction))
            case .ok, .held: tell(.resume(id: stall.id, streamID: streamID, .retry))
            case .terminated(.readAsZero): tell(.resume(id: stall.id, streamID: streamID, .terminate))
            case .terminated: tell(.resume(id: stall.id, streamID: streamID, .abort))
            case .fault: tell(.resume(id: stall.id, streamID: streamID, lastFaultAborts ? .abort : .terminate))
            }
            deliver()
            return (stall.transaction, translation)
        }
    }
}
