import IOMMUObjects

extension DeviceFault {
    /// The fault as the object model sees it.
    init(_ fault: DriverFault) {
        self.init(
            pasid: fault.pasid, address: fault.address,
            permissions: Permissions(rawValue: fault.permissions.rawValue), last: fault.last, groupID: fault.groupID,
            token: FaultToken(fault.tag))
    }
}

extension FaultToken {
    /// | bits | of a stall | of a page request group |
    /// |---|---|---|
    /// | 63 | 0 | 1 |
    /// | 62 | | whether it has a PASID |
    /// | 61:42 | | the PASID |
    /// | 41:32 | | the group |
    /// | 47:32 | the tag | |
    /// | 31:0 | StreamID | StreamID |
    init(_ tag: DriverFault.Tag) {
        switch tag {
        case .stall(let streamID, let stag): self.init(rawValue: UInt64(stag) << 32 | UInt64(streamID))
        case .pri(let streamID, let pasid, let group):
            let pasidBits = pasid.map { 1 << 62 | UInt64($0 & 0xf_ffff) << 42 } ?? 0
            self.init(rawValue: 1 << 63 | pasidBits | UInt64(group & 0x3ff) << 32 | UInt64(streamID))
        }
    }
}

extension DriverFault.Tag {
    /// What a token was made of.
    init(_ token: FaultToken) {
        let bits = token.rawValue
        let streamID = UInt32(truncatingIfNeeded: bits)
        guard bits >> 63 != 0 else {
            self = .stall(streamID: streamID, stag: UInt16(truncatingIfNeeded: bits >> 32))
            return
        }
        let pasid = bits >> 62 & 1 != 0 ? UInt32(truncatingIfNeeded: bits >> 42 & 0xf_ffff) : nil
        self = .pri(streamID: streamID, pasid: pasid, group: UInt16(truncatingIfNeeded: bits >> 32 & 0x3ff))
    }
}
