import IOMMU

extension IDTable {
    /// Gives an object its id, by way of a ledger: the one that is to be given, if that is free.
    package mutating func give(_ kind: Ledger.Kind, _ ledger: Ledger?, _ element: Element) -> ObjectID {
        guard let ledger, ledger.page != nil else { return insert(element) }
        var id = ledger.next(kind).map { ObjectID(truncatingIfNeeded: $0) } ?? 0
        if id == 0 || !insert(element, at: id) {
            if id != 0 { ledger.refuse() }
            id = insert(element)
        }
        ledger.note(kind, UInt64(id))
        return id
    }
}

/// Ids are given by way of the ledger, so that a change that is made again is given the same.
extension ObjectContext {
    /// What the context's changes are given; nil: nobody writes it down.
    var ledger: Ledger? { registry.host.changeLedger }

    /// Gives an object its id.
    func enter(_ object: SessionObject) {
        guard let ledger, ledger.page != nil else { return table.insert(object) }
        if let id = ledger.next(.object), !table.insert(object, at: ObjectID(truncatingIfNeeded: id)) {
            ledger.refuse()
        }
        if object.id == 0 { table.insert(object) }
        ledger.note(.object, UInt64(object.id))
    }

    /// Gives a memory object its id.
    func enter(_ memory: MemoryObject, at location: UInt64) -> ObjectID {
        guard let ledger, ledger.page != nil else { return memories.insert(memory, at: location) }
        let wanted = ledger.next(.memory).map { ObjectID(truncatingIfNeeded: $0) }
        let id = memories.insert(memory, at: location, wanted: wanted)
        if let wanted, wanted != id { ledger.refuse() }
        ledger.note(.memory, UInt64(id))
        return id
    }
}
