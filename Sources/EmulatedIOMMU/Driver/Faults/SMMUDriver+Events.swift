import IOMMU
import SMMUv3

extension SMMUDriver {
    /// Takes in what the SMMU has recorded: after an interrupt, outside of any call into the SMMU.
    ///
    /// Bounded: what arrives while it runs without end is left to the next call.
    package func service() {
        guard !isServicing else { return }
        isServicing = true
        defer { isServicing = false }
        serviceEvents()
        servicePageRequests()
    }

    /// What is still known of the records after `sequence`, at most `limit`, oldest first.
    package func events(since sequence: UInt64, limit: Int) -> [EventTrace.Entry] {
        eventTrace.entries(since: sequence, limit: limit)
    }

    /// How many records were ever taken in.
    package var recordedEvents: UInt64 { eventTrace.recorded }

    /// Retries what waits (`success`), or ends it with an abort or an invalid page response.
    package func respond(to fault: DriverFault.Tag, success: Bool) {
        switch fault {
        case .stall(let streamID, let stag):
            queue.append(.RESUME(streamID: streamID, stag: stag, action: success ? .retry : .terminate(abort: true)))
        case .pri(let streamID, let pasid, let group):
            queue.append(
                .PRI_RESP(
                    streamID: streamID, substreamID: pasid, prgIndex: group,
                    response: success ? .Success : .InvalidRequest
                )
            )
        }
        // A SYNC would wait for nothing: neither command has a completion.
        queue.publish()
    }

    /// Nobody handles page requests of the device: it is to ask no more.
    private func deny(_ streamID: UInt32, _ pasid: UInt32?, _ group: UInt16) {
        queue.append(
            .PRI_RESP(streamID: streamID, substreamID: pasid, prgIndex: group, response: .ResponseFailure)
        )
        queue.publish()
    }

    // MARK: Event queue

    private func serviceEvents() {
        for _ in 0..<eventQueue.capacity * 2 {
            guard let words = eventQueue.first else { break }
            let record = EventRecord(word0: words[0], word1: words[1], word2: words[2], word3: words[3])
            eventQueue.advance()
            let master = masters[record.StreamID]
            let cause = events?.driver(self, causeOf: record, from: master)
            eventTrace.append(record, cause)
            handle(record, cause, from: master)
        }
        // Stalled transactions are never lost: their records come once there is room.
        eventQueue.acknowledgeOverflow()
    }

    private func handle(_ record: EventRecord, _ cause: FaultCause?, from master: Master?) {
        guard record.type?.isTranslationFault == true, record.Stall else {
            events?.driver(self, event: record, cause: cause, from: master)
            return
        }
        let tag = DriverFault.Tag.stall(streamID: record.StreamID, stag: record.STAG)
        // Any process can cause these.
        if master?.attachment(pasid: record.substream).svaDomain?.isLive == false {
            return respond(to: tag, success: false)
        }
        guard let master, let events, master.translation(pasid: record.substream).allowsFaults else {
            respond(to: tag, success: false)
            self.events?.driver(self, event: record, cause: cause, from: master)
            return
        }
        var permissions: DriverFault.Permissions = record.InD ? .execute : record.RnW ? .read : .write
        if record.PnU { permissions.insert(.privileged) }
        events.driver(
            self,
            fault: DriverFault(
                pasid: record.substream, address: record.InputAddr, permissions: permissions, last: true,
                groupID: UInt32(record.STAG), tag: tag, record: record
            ),
            from: master
        )
    }

    // MARK: PRI queue

    private func servicePageRequests() {
        guard let priQueue else { return }
        for _ in 0..<priQueue.capacity * 2 {
            guard let words = priQueue.first else { break }
            let request = PageRequest(word0: words[0], word1: words[1])
            priQueue.advance()
            handle(request)
        }
        // The SMMU has answered what found no room, and devices ask again.
        priQueue.acknowledgeOverflow()
    }

    private func handle(_ request: PageRequest) {
        guard !request.isStopMarker else { return }
        let (streamID, pasid, last) = (request.StreamID, request.substream, request.Last)
        let group = request.PRGIndex
        var permissions: DriverFault.Permissions = []
        if request.R { permissions.insert(.read) }
        if request.W { permissions.insert(.write) }
        if request.X { permissions.insert(.execute) }
        if request.Priv { permissions.insert(.privileged) }
        let tag = DriverFault.Tag.pri(streamID: streamID, pasid: pasid, group: group)
        guard let master = masters[streamID], let events, master.translation(pasid: pasid).allowsFaults else {
            if last { deny(streamID, pasid, group) }
            return
        }
        events.driver(
            self,
            fault: DriverFault(
                pasid: pasid, address: request.Address, permissions: permissions, last: last, groupID: UInt32(group),
                tag: tag
            ),
            from: master
        )
    }
}
