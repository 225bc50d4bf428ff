import IOMMU

/// What lies behind a fault, as far as the object model tells.
extension Device {
    /// Why an access fails in the table that it goes through; nil: the object model does not know.
    ///
    /// - Parameters:
    ///   - address: an IOVA of the access.
    ///   - pasid: of the access; nil: it had none.
    ///   - access: what it does.
    ///   - forbidden: there is a page; it does not permit the access.
    ///   - stage2: where it failed below a guest's stage 1, and what that wanted there: CLASS; nil: not there.
    package func cause(
        of access: AccessKind, at address: UInt64, pasid: UInt32?, forbidden: Bool,
        stage2: (ipa: UInt64, purpose: String)?
    ) -> FaultCause? {
        let own = group.attachments[pasid ?? DeviceGroup.ridKey]?.hwpt
        // A guest's stage 1 has PASIDs of its own.
        let guest = group.attachments[DeviceGroup.ridKey]?.hwpt
        guard let hwpt = own ?? (guest?.isNested == true ? guest : nil) else {
            return .unattached(device: name, pasid: pasid)
        }
        if hwpt.isNested, stage2 == nil { return .guestTables(hwpt: hwpt.id, address: address, isMapped: forbidden) }
        let ioas = hwpt.paging.ioas
        let place = FaultCause.Place(
            ioas: ioas.id, hwpt: hwpt.id, address: stage2?.ipa ?? address,
            purpose: hwpt.isNested ? stage2?.purpose : nil)
        return ioas.cause(of: access, at: place)
    }
}

extension IOAS {
    fileprivate func cause(of access: AccessKind, at place: FaultCause.Place) -> FaultCause {
        guard let area = areas.area(containing: place.address) else {
            return .unmapped(place, nearest: neighbour(of: place.address))
        }
        // Tables and context descriptors are read, whatever the device does.
        let wants = place.purpose == "TTD" || place.purpose == "CD" ? .read : access
        guard area.access.permits(wants) else {
            return .forbidden(place, first: area.start, last: area.last, wants: wants)
        }
        return .mappedByNow(place)
    }

    private func neighbour(of address: UInt64) -> FaultCause.Neighbour? {
        let before = areas.area(beginningBefore: address).map(\.last)
        let behind = areas.area(endingAtOrAfter: address).map(\.start)
        guard let before else { return behind.map { .beginsAt($0) } }
        guard let behind, behind - address < address - before else { return .endsAt(before) }
        return .beginsAt(behind)
    }
}

extension Access {
    fileprivate func permits(_ kind: AccessKind) -> Bool {
        switch kind {
        // Nothing that can be read is kept from being executed.
        case .read, .execute: allowsReading
        case .write: allowsWriting
        }
    }
}
