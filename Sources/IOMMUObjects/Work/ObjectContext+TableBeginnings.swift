import IOMMU

/// The calls about devices and hwpts that can take long: at once where there is little in the tables, else in later
/// turns.
extension ObjectContext {
    package func beginAllocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> Answer<ObjectID> {
        guard let ioas = table[request.pt] as? IOAS, ioas.isLarge(longestAtOnce), let executor = registry.host.longWork
        else {
            return .now(try allocateHWPT(request))
        }
        let empty = try makeEmptyHWPT(request, over: ioas)
        return begin(PopulateWork(self, empty) { (hwpt) throws(IOMMUError) -> ObjectID in hwpt.id }, on: executor)
    }

    package func beginAttach(
        device id: ObjectID, to pt: ObjectID, pasid: UInt32?
    ) throws(IOMMUError) -> Answer<ObjectID> {
        guard let ioas = table[pt] as? IOAS, ioas.isLarge(longestAtOnce), let executor = registry.host.longWork,
            let empty = try emptyHWPT(toAttach: id, to: ioas, pasid: pasid)
        else { return .now(try attach(device: id, to: pt, pasid: pasid)) }
        // It is the automatic one of its IOAS then.
        let work = populate(empty) { [self] () throws(IOMMUError) -> ObjectID in
            try attach(device: id, to: pt, pasid: pasid)
        }
        return begin(work, on: executor)
    }

    package func beginReplace(
        device id: ObjectID, with pt: ObjectID, pasid: UInt32?
    ) throws(IOMMUError) -> Answer<ObjectID> {
        if let ioas = table[pt] as? IOAS, ioas.isLarge(longestAtOnce), let executor = registry.host.longWork,
            let empty = try emptyHWPT(toReplace: id, with: ioas, pasid: pasid)
        {
            let work = populate(empty) { [self] () throws(IOMMUError) -> ObjectID in
                try replace(device: id, with: pt, pasid: pasid)
            }
            return begin(work, on: executor)
        }
        return try buryingLater { () throws(IOMMUError) -> ObjectID in
            try replace(device: id, with: pt, pasid: pasid)
        }
    }

    /// An automatic hwpt that is filled, then used; it goes again if that is refused.
    private func populate(
        _ empty: PagingHWPT, thenUse use: @escaping () throws(IOMMUError) -> ObjectID
    ) -> PopulateWork {
        PopulateWork(self, empty) { [self] (hwpt) throws(IOMMUError) -> ObjectID in
            buriesLater = true
            defer { buriesLater = false }
            do throws(IOMMUError) {
                return try use()
            } catch {
                if !hwpt.isReleased, hwpt.users == 0 { release(hwpt) }
                throw error
            }
        }
    }

    package func beginDetach(device: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<Void> {
        try buryingLater { () throws(IOMMUError) -> Void in try detach(device: device, pasid: pasid) }
    }

    package func beginUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void> {
        try buryingLater { () throws(IOMMUError) -> Void in try unbind(device: device) }
    }

    package func beginDestroy(object id: ObjectID) throws(IOMMUError) -> Answer<Void> {
        if let ioas = table[id] as? IOAS, ioas.users == 0, ioas.isLarge(longestAtOnce),
            let executor = registry.host.longWork
        {
            let work = UnmapWork(self, ioas, start: 0, last: .max) { [self] _ in release(ioas) }
            return begin(work, on: executor)
        }
        return try buryingLater { () throws(IOMMUError) -> Void in try destroy(object: id) }
    }
}
