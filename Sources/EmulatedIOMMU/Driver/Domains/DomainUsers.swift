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

    mutating func add(_ master: Master, pasid: UInt32?, isNested: Bool = false) {
        list.append(DomainUser(master: master, pasid: pasid, isNested: isNested))
    }

    /// Removes one entry; a replace of a domain by itself has two for a moment.
    mutating func remove(_ master: Master, pasid: UInt32?, isNested: Bool = false) {
        let index = list.firstIndex { $0.master === master && $0.pasid == pasid && $0.isNested == isNested }
        if let index { list.remove(at: index) }
    }
}
