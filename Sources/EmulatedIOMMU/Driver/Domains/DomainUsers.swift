/// Who uses a domain: the streams that invalidations of it concern.
struct DomainUser {
    unowned let master: Master
    let pasid: UInt32?
    /// Attached through a nested stage 1.
    let isNested: Bool

    /// StreamID, then PASID: the order in which devices are told.
    fileprivate var rank: UInt64 { UInt64(master.streamIDs.first ?? 0) << 32 | UInt64(pasid ?? 0) }
}

/// The users of one domain.
struct DomainUsers {
    private(set) var list: [DomainUser] = []
    var isEmpty: Bool { list.isEmpty }
    /// Whether any user could have its ATS on.
    private(set) var hasATS = false

    mutating func add(_ master: Master, pasid: UInt32?, isNested: Bool = false) {
        let user = DomainUser(master: master, pasid: pasid, isNested: isNested)
        let place = list.lastIndex { $0.rank <= user.rank }.map { $0 + 1 } ?? 0
        list.insert(user, at: place)
        hasATS = hasATS || master.canATS
    }

    /// Removes one entry; a replace of a domain by itself has two for a moment.
    mutating func remove(_ master: Master, pasid: UInt32?, isNested: Bool = false) {
        let index = list.firstIndex { $0.master === master && $0.pasid == pasid && $0.isNested == isNested }
        if let index { list.remove(at: index) }
        hasATS = list.contains { $0.master.canATS }
    }
}
