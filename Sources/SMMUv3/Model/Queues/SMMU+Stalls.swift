/// A transaction that waits for software.
struct Stall {
    let streamID: UInt32
    let STAG: UInt16
    let event: EventRecord
    /// Whether the event queue has taken the record.
    var isRecorded: Bool
    /// Whether the configuration or translation that it faulted on may have been invalidated since.
    var isStale: Bool
}

extension SMMU {
    /// Transactions that wait for CMD_RESUME or CMD_STALL_TERM.
    public var stalledTransactions: [(streamID: UInt32, STAG: UInt16)] {
        stalls.map { ($0.streamID, $0.STAG) }
    }

    /// How many transactions can stall at once (IDR5.STALL_MAX).
    public var stallCapacity: Int { features.stallMaximum }

    /// Stalls a transaction; nil if it may not, or if IDR5.STALL_MAX transactions are stalled already.
    func stall(_ event: EventRecord) -> Translation? {
        guard admitsStalls, stalls.count < features.stallMaximum else {
            return nil
        }
        var tagged = event
        tagged.Stall = true
        tagged.STAG = freeSTAG()
        var stall = Stall(
            streamID: event.StreamID, STAG: tagged.STAG, event: tagged, isRecorded: false, isStale: false)
        if case .writable = eventQueueState {
            stall.isRecorded = write(tagged)
        }
        stalls.append(stall)
        return .stalled(STAG: tagged.STAG, event: tagged, recorded: stall.isRecorded)
    }

    private func freeSTAG() -> UInt16 {
        // There are fewer stalls than tags, so a free one is found.
        repeat {
            nextSTAG &+= 1
        } while stalls.contains { $0.STAG == nextSTAG }
        return nextSTAG
    }

    /// CMD_RESUME: without a matching transaction nothing happens (4.7.1).
    func resume(streamID: UInt32, STAG: UInt16, action: ResumeAction) {
        guard let index = stalls.firstIndex(where: { $0.STAG == STAG && $0.streamID == streamID }) else {
            return
        }
        let stall = stalls.remove(at: index)
        delegate?.stallResolved(
            StallResolution(streamID: streamID, STAG: STAG, action: action, isRecorded: stall.isRecorded))
    }

    /// CMD_STALL_TERM: every stalled transaction of the stream is aborted (4.7.2).
    func terminateStalls(where matches: (Stall) -> Bool) {
        let terminated = stalls.filter(matches)
        stalls.removeAll(where: matches)
        for stall in terminated {
            delegate?.stallResolved(
                StallResolution(
                    streamID: stall.streamID, STAG: stall.STAG, action: .terminate(abort: true),
                    isRecorded: stall.isRecorded))
        }
    }

    /// SMMUEN went to 0 (6.3.9.6).
    func terminateAllStalls() {
        terminateStalls { _ in true }
    }

    /// The owner withdraws a stalled transaction, because its device gave up.
    public func withdrawStall(streamID: UInt32, STAG: UInt16) {
        stalls.removeAll { $0.STAG == STAG && $0.streamID == streamID }
    }

    /// Invalidation happened: what is not recorded yet must be retried instead (4.7.3).
    @inline(__always)
    func markUnrecordedStalls() {
        guard !stalls.isEmpty else { return }
        for index in stalls.indices where !stalls[index].isRecorded {
            stalls[index].isStale = true
        }
    }

    /// Brings the records of stalled transactions into the queue once it is writable again (7.2.1).
    func recordPendingStalls() {
        var retried: [Stall] = []
        for index in stalls.indices where !stalls[index].isRecorded {
            guard case .writable = eventQueueState else {
                break
            }
            if stalls[index].isStale {
                retried.append(stalls[index])
            } else {
                stalls[index].isRecorded = write(stalls[index].event)
            }
        }
        for stall in retried {
            resume(streamID: stall.streamID, STAG: stall.STAG, action: .retry)
        }
    }
}
