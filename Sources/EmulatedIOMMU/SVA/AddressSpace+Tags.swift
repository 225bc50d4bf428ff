import IOMMU

/// The PASID of an address space, and the CPUs' ASID.
extension AddressSpace {
    /// Its PASID, or the lowest that is free, that its user may have and that none of the devices has something else
    /// on.
    func takePASID(for devices: [EmulatedDevice], of account: Account) throws(IOMMUError) -> UInt32 {
        let end = UInt32(1) << UInt32(devices.map(\.master.pasidBits).min() ?? 0)
        if let pasid {
            guard pasid < end else {
                throw IOMMUError(
                    .EOVERFLOW, .pasidTooLarge, "the address space has PASID \(pasid), which the device cannot send",
                    hint: "bind it to this device before others, or unbind what has lower PASIDs",
                    ["pasid": .number(UInt64(pasid)), "limit": .number(UInt64(end))]
                )
            }
            manager.ledger?.share(.pasid, UInt64(pasid))
            return pasid
        }
        if let pasid = try wantedPASID(of: account) { return pasid }
        let share = account.share(of: manager.pasidPool)
        try share.check(1)
        let first = try manager.pasidShares.first(for: account, widths: manager.pasidWidths(), below: end)
        var skipped: [UInt32] = []
        defer { for tag in skipped { manager.pasids.release(tag) } }
        while true {
            let tag = try manager.pasids.take(from: first)
            guard tag < end else {
                manager.pasids.release(tag)
                throw IOMMUError(
                    .ENOSPC, .pasidExhausted, "all PASIDs below \(end) that the device can send are in use",
                    hint: "unbind address spaces that are not needed", ["limit": .number(UInt64(end))]
                )
            }
            if devices.allSatisfy({ $0.master.attachment(pasid: tag).isBlocked }) {
                try share.take(1)
                return own(tag, share)
            }
            skipped.append(tag)
        }
    }

    /// The PASID that it had before a restart; nil: it is to choose one.
    private func wantedPASID(of account: Account) throws(IOMMUError) -> UInt32? {
        guard let wanted = manager.ledger?.next(.pasid) else { return nil }
        let tag = UInt32(truncatingIfNeeded: wanted)
        let share = account.share(of: manager.pasidPool)
        guard manager.pasids.take(tag) else {
            manager.ledger?.refuse()
            throw .taken("PASID", wanted)
        }
        do throws(IOMMUError) {
            try share.take(1)
        } catch {
            manager.pasids.release(tag)
            throw error
        }
        return own(tag, share)
    }

    private func own(_ tag: UInt32, _ share: PoolShare) -> UInt32 {
        (pasid, pasidShare) = (tag, share)
        manager.pasidShares.add(tag, of: share.uid)
        manager.ledger?.note(.pasid, UInt64(tag))
        return tag
    }

    func releasePASIDIfUnused() {
        guard attachments.isEmpty, let pasid else { return }
        if let pasidShare {
            manager.pasidShares.remove(pasid, of: pasidShare.uid)
            pasidShare.giveBack(1)
        }
        (self.pasid, pasidShare) = (nil, nil)
        manager.pasids.release(pasid)
    }

    func pinCPUASID(for account: Account) throws(IOMMUError) -> UInt16 {
        if let cpuASID {
            manager.ledger?.share(.cpuASID, UInt64(cpuASID))
            return cpuASID
        }
        let share = account.share(of: manager.cpuASIDPool)
        try share.check(1)
        let asid = UInt16(truncatingIfNeeded: try manager.cpuASIDs.give(.cpuASID, manager.ledger))
        try share.take(1)
        (cpuASID, cpuASIDShare) = (asid, share)
        return asid
    }

    func unpinCPUASIDIfUnused() {
        guard let asid = cpuASID, !views.contains(where: \.usesBroadcast) else { return }
        cpuASID = nil
        cpuASIDShare?.giveBack(1)
        cpuASIDShare = nil
        manager.cpuASIDs.release(UInt32(asid))
    }
}
