import IOMMU
import SMMUv3

extension VirtualSMMU {
    /// What registers change is told only to who may have kept something.
    func note(_ invalidation: Invalidation) {
        guard invalidation == .change else { return tell(.invalidate(BareInvalidation(invalidation))) }
        if hasAnswered { tell(.invalidate(BareInvalidation(.all))) }
        if hasAnsweredATS {
            var devices = BareInvalidation(.all)
            devices.ats = true
            tell(.invalidate(devices))
        }
        (hasAnswered, hasAnsweredATS) = (false, false)
    }
}

extension BareInvalidation {
    fileprivate init(_ invalidation: Invalidation) {
        switch invalidation {
        case .everything, .change: self.init(.all)
        case .machine(let vmid):
            self.init(.vmid)
            self.vmid = vmid
        case .space(let asid, let vmid):
            self.init(.asid)
            (self.asid, self.vmid) = (asid, vmid)
        case .range(let range):
            self.init(.range)
            (asid, vmid, leaf) = (range.asid, range.vmid, range.leaf)
            addresses = range.first...max(range.first, range.last)
        case .configuration(let streams, let substreamID, let leaf):
            self.init(.config)
            streamIDs = streams == 0...UInt32.max ? nil : streams
            (self.substreamID, self.leaf) = (substreamID, leaf)
        }
    }

    /// Without a PASID a device forgets whatever it keeps there; so it does what is global.
    init(_ invalidation: ATCInvalidation) {
        self.init(invalidation.log2Size >= 64 ? .stream : .range)
        ats = true
        streamIDs = invalidation.streamID...invalidation.streamID
        substreamID = invalidation.global ? nil : invalidation.substreamID
        if scope == .range {
            addresses = invalidation.address...(invalidation.address | ((1 << UInt64(invalidation.log2Size)) - 1))
        }
    }
}

extension BarePageResponse {
    init(_ answer: PageRequestAnswer) {
        let code =
            switch answer.response {
            case .Success: "success"
            case .InvalidRequest: "invalid"
            case .ResponseFailure: "failure"
            }
        self.init(streamID: answer.streamID, substreamID: answer.substreamID, group: answer.prgIndex, code: code)
    }
}

extension BroadcastInvalidation {
    /// Those that a CPU can send, by what is given.
    init(_ broadcast: BareBroadcast) {
        switch (broadcast.isEL2, broadcast.range, broadcast.asid, broadcast.vmid) {
        case (true, let range?, let asid, _): self = .hypervisorAddress(range.address, length: range.length, asid: asid)
        case (true, nil, let asid?, _): self = .hypervisorASID(asid)
        case (true, nil, nil, _): self = .hypervisor
        case (false, let range?, let asid?, let vmid):
            self = .address(range.address, length: range.length, asid: asid, vmid: vmid ?? 0)
        case (false, let range?, nil, let vmid):
            self = .addressAllASIDs(range.address, length: range.length, vmid: vmid ?? 0)
        case (false, nil, let asid?, let vmid): self = .asid(asid, vmid: vmid ?? 0)
        case (false, nil, nil, let vmid?): self = .stage1And2(vmid: vmid)
        case (false, nil, nil, nil): self = .all
        }
    }
}
