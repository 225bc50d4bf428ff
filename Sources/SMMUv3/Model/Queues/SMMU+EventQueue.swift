extension SMMU {
    var eventQueue: QueueGeometry {
        QueueGeometry(
            register: registers.EVENTQ_BASE, limit: features.maximumEventQueue,
            entryBytes: UInt64(EventRecord.byteCount), OAS: features.OAS)
    }

    /// The state of the event queue that decides about a record (7.2.1).
    enum EventQueueState {
        case writable
        case full
        case disabled
    }

    var eventQueueState: EventQueueState {
        guard registers.isEnabled(CR0.EVENTQEN), registers.activeErrors & GERROR.EVENTQ_ABT_ERR == 0 else {
            return .disabled
        }
        let isFull = eventQueue.isFull(producer: registers.EVENTQ_PROD, consumer: registers.EVENTQ_CONS)
        return isFull ? .full : .writable
    }

    /// Writes the record of a terminated transaction or discards it; whether it was written.
    func record(_ event: EventRecord) -> Bool {
        switch eventQueueState {
        case .writable:
            return write(event)
        case .full:
            // Only one overflow can be indicated until software acknowledges it (7.4).
            if (registers.EVENTQ_PROD ^ registers.EVENTQ_CONS) & QueueIndex.overflow == 0 {
                registers.EVENTQ_PROD ^= QueueIndex.overflow
            }
            return false
        case .disabled:
            return false
        }
    }

    /// Writes a record into a writable queue; false if memory aborted.
    func write(_ event: EventRecord) -> Bool {
        let queue = eventQueue
        let address = queue.address(registers.EVENTQ_PROD)
        guard memory.store64(address, event.word0), memory.store64(address + 8, event.word1),
            memory.store64(address + 16, event.word2), memory.store64(address + 24, event.word3)
        else {
            raiseError(GERROR.EVENTQ_ABT_ERR)
            return false
        }
        let wasEmpty = queue.isEmpty(producer: registers.EVENTQ_PROD, consumer: registers.EVENTQ_CONS)
        registers.EVENTQ_PROD = queue.advance(registers.EVENTQ_PROD)
        eventTrace.append(event)
        if wasEmpty {
            raise(.eventQueue)
        }
        return true
    }
}
