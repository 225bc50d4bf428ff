/// Who uses a domain: the streams that invalidations of it concern.
struct DomainUser {
    unowned let master: Master
    let pasid: UInt32?
    /// Attached through a nested stage 1.
    let isNested: Bool
}

/// The users of one domain.
struct DomainUsers {
    private(set) var list: [DomainUser] = []
    var isEmpty: Bool { list.isEmpty }
    /// Whether any user could have its ATS on.
    private(set) var hasATS = false

    mutating func add(_ master: Master, pasid: UInt32?, isNested: Bool = false) {
        list.append(DomainUser(master: master, pasid: pasid, isNested: isNested))
        hasATS = hasATS || master.canATS
    }

    /// Removes one entry; a replace of a domain by itself has two for a moment.
    mutating func remove(_ master: Master, pasid: UInt32?, isNested: Bool = false) {
        let index = list.firstIndex { $0.master === master && $0.pasid == pasid && $0.isNested == isNested }
        if let index { list.remove(at: index) }
        hasATS = list.contains { $0.master.canATS }
    }
}
