import IOMMU
import IOMMUObjects
import SMMUv3

/// What lies behind the faults of one device's accesses with one PASID, or without one.
struct FaultCauses {
    let device: EmulatedDevice
    /// nil: accesses without a PASID.
    let pasid: UInt32?

    /// Behind an end without a record; nil: the STE or the CD says all that there is to say.
    func of(_ termination: Termination) -> FaultCause? {
        switch termination {
        case .steAbort: isUnattached ? .unattached(device: device.name, pasid: pasid) : nil
        case .faultNotRecorded: sharer.flatMap { $0.isLive ? nil : .processGone($0.pid, pasid: pasid ?? 0) }
        default: nil
        }
    }

    /// Behind a record.
    ///
    /// - Parameter address: the first failing byte.
    func of(_ record: EventRecord, at address: UInt64) -> FaultCause? {
        if let pasid, UInt64(pasid) >= 1 << UInt64(device.master.pasidBits) {
            return .pasidTooLarge(device: device.name, pasid: pasid, bits: device.master.pasidBits)
        }
        if isUnattached { return .unattached(device: device.name, pasid: pasid) }
        if let illegal = device.smmu.smmu.illegalField(behind: record) {
            return .illegalField(structure: illegal.structure.rawValue, illegal.name, illegal.value)
        }
        guard let type = record.type, type == .F_TRANSLATION || type == .F_PERMISSION else { return nil }
        let fault = FaultDescription(record, address: address)
        guard let access = fault.access else { return nil }
        if let sharer, let pasid {
            guard sharer.isLive else { return .processGone(sharer.pid, pasid: pasid) }
            return .processForbids(sharer.pid, pasid: pasid, address: address, wants: access.kind)
        }
        return device.device.cause(
            of: access.kind, at: address, pasid: pasid, forbidden: type == .F_PERMISSION,
            stage2: access.ipa.map { ($0, access.purpose) })
    }

    private var isUnattached: Bool { device.master.translation(pasid: pasid).isBlocked }

    /// The address space that the PASID is shared with.
    private var sharer: (any PageFaultHandler)? { pasid.flatMap { device.sharers[$0] } }
}

extension EmulatedBackend {
    /// What lies behind an event; nil: the record says all that there is to say.
    ///
    /// - Parameters:
    ///   - address: the first failing byte; nil: InputAddr of the record.
    ///   - device: whose stream it is; nil: nobody's.
    func cause(of record: EventRecord, at address: UInt64? = nil, from device: EmulatedDevice?) -> FaultCause? {
        guard let device else { return .noDevice(streamID: record.StreamID) }
        return FaultCauses(device: device, pasid: record.substream).of(record, at: address ?? record.InputAddr)
    }
}
