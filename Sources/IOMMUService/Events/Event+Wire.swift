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
