import IOMMU
import JSONRPC

/// The one place that knows what a notification looks like.
extension Event {
    /// The members of `params` behind `kind`, `sequence` and `time`.
    func write(_ params: JSONObjectWriter) {
        origin?.write(params)
        switch content {
        case .backend(let body): body.write(params)
        case .sessionClosed: params.member("change").string("closed" as StaticString)
        }
    }
}

extension Event.Origin {
    fileprivate func write(_ params: JSONObjectWriter) {
        switch self {
        case .session(let name, let owner):
            params.member("session").string(name)
            params.member("owner_uid").integer(UInt64(owner))
        case .connection(let number):
            params.member("connection").integer(number)
        }
    }
}

extension BackendEvent.Body {
    fileprivate func write(_ params: JSONObjectWriter) {
        switch self {
        case .fault(let event): event.write(params)
        case .smmuEvent(let event): event.write(params)
        case .mmExit(let mm): params.member("mm").integer(UInt64(mm))
        case .bond(let event): event.write(params)
        case .device(let event):
            params.member("action").string(event.action.rawValue)
            params.member("name").string(event.name)
        case .queue(let event): event.write(params)
        case .veventq(let event): event.write(params)
        case .vsmmuEvent(let vsmmu, let event):
            params.member("vsmmu").integer(UInt64(vsmmu))
            event.write(params)
        case .vsmmuNotice(let vsmmu, let notice):
            params.member("vsmmu").integer(UInt64(vsmmu))
            notice.write(params)
        }
    }
}

extension PageFaultEvent {
    fileprivate func write(_ params: JSONObjectWriter) {
        params.member("fault").integer(UInt64(fault))
        params.member("device").integer(UInt64(device))
        params.member("name").string(name)
        params.member("addr").hex(address)
        if let pasid { params.member("pasid").integer(UInt64(pasid)) }
    }
}

extension SMMUEvent {
    fileprivate func write(_ params: JSONObjectWriter) {
        params.member("smmu").string(smmu)
        if let name { params.member("name").string(name) }
        event.write(params)
    }
}

extension BondEvent {
    fileprivate func write(_ params: JSONObjectWriter) {
        params.member("bond").integer(UInt64(bond))
        if let device { params.member("device").integer(UInt64(device)) }
        params.member("name").string(name)
        params.member("mm").integer(UInt64(mm))
        params.member("pasid").integer(UInt64(pasid))
        params.member("state").string(state)
    }
}

extension QueueEvent {
    fileprivate func write(_ params: JSONObjectWriter) {
        params.member("queue").integer(UInt64(queue))
        params.member("name").string(name)
        params.member("mm").integer(UInt64(mm))
        params.member("state").string(state.rawValue)
        params.member("reason").string(reason.slug)
    }
}

extension VirtualEventQueueEvent {
    fileprivate func write(_ params: JSONObjectWriter) {
        params.member("veventq").integer(UInt64(queue))
        params.member("viommu").integer(UInt64(viommu))
        params.member("name").string(name)
        params.member("lost").integer(isLost ? 1 : 0 as UInt64)
    }
}

extension FaultDescription {
    fileprivate func write(_ params: JSONObjectWriter) {
        for member in members { params.member(member.key).value(member.value.json) }
    }
}

extension BareSMMUNotice {
    fileprivate func write(_ params: JSONObjectWriter) {
        switch self {
        case .invalidate(let invalidation): invalidation.write(params)
        case .stall(let id, let streamID, let tag):
            params.member("stall").integer(id)
            params.member("stream_id").integer(UInt64(streamID))
            params.member("tag").integer(UInt64(tag))
        case .resume(let id, let streamID, let action):
            params.member("stall").integer(id)
            params.member("stream_id").integer(UInt64(streamID))
            params.member("action").string(action.rawValue)
        case .pageResponse(let response):
            params.member("stream_id").integer(UInt64(response.streamID))
            if let substreamID = response.substreamID { params.member("substream_id").integer(UInt64(substreamID)) }
            params.member("group").integer(UInt64(response.group))
            params.member("code").string(response.code)
        case .message(let address, let data):
            params.member("address").hex(address)
            params.member("data").hex(UInt64(data))
        case .event: break
        case .lost(let count): params.member("count").integer(count)
        }
    }
}

extension BareInvalidation {
    fileprivate func write(_ params: JSONObjectWriter) {
        params.member("scope").string(scope.rawValue)
        if let asid { params.member("asid").integer(UInt64(asid)) }
        if let vmid { params.member("vmid").integer(UInt64(vmid)) }
        if let addresses {
            params.member("start").hex(addresses.lowerBound)
            params.member("last").hex(addresses.upperBound)
        }
        if let streamIDs {
            if streamIDs.count == 1 {
                params.member("stream_id").integer(UInt64(streamIDs.lowerBound))
            } else {
                params.member("first_stream_id").integer(UInt64(streamIDs.lowerBound))
                params.member("last_stream_id").integer(UInt64(streamIDs.upperBound))
            }
        }
        if let substreamID { params.member("substream_id").integer(UInt64(substreamID)) }
        if let leaf { params.member("leaf").bool(leaf) }
        params.member("ats").bool(ats)
    }
}
