import IOMMU

/// The memory objects of a context, and where the tables of its drivers find each of them.
package struct MemoryTable {
    private var objects = IDTable<MemoryObject>()
    /// Slot `i` belongs to id `i + 1`.
    private var locations = ContiguousArray<UInt64>()
    /// Ranges of address spaces that mappings use, by ids of their own.
    private var lent = IDTable<LentRange>()
    /// Set in those ids. No memory object's is so large.
    private static let lentFlag: ObjectID = 1 << 30

    /// An empty table.
    package init() {}

    /// Memory objects in the table.
    package var count: Int { objects.count }
    /// No memory object has a higher id.
    var lastID: ObjectID { objects.lastID }
    /// Those of now, each described when it is asked for.
    func listing(_ describe: @escaping (ObjectID, MemoryObject) -> ObjectDescription) -> ObjectListing {
        objects.listing(describe)
    }

    /// Every memory object in the order of the ids; a copy, so that the table may change while it is walked.
    package var all: [(id: ObjectID, element: MemoryObject)] { objects.all }

    /// The memory object with this id, if there is one.
    @inline(__always)
    package subscript(id: ObjectID) -> MemoryObject? { objects[id] }

    /// Where the first byte of a memory object of the table lies, as the ``ObjectHost`` has said; of a range of an
    /// address space, where address 0 would.
    @inline(__always)
    package func location(of id: ObjectID) -> UInt64 {
        id & Self.lentFlag == 0 ? locations[Int(id) &- 1] : lent(id)?.location ?? 0
    }

    /// The range of an address space that a mapping has in the place of a memory object, if it has one.
    package func lent(_ id: ObjectID) -> LentRange? { id & Self.lentFlag == 0 ? nil : lent[id & ~Self.lentFlag] }

    /// Enters a range of an address space. - Returns: what mappings call it.
    mutating func insert(_ range: LentRange) -> ObjectID { lent.insert(range) | Self.lentFlag }

    /// A mapping less. A range of an address space that no other uses is given back.
    @inline(__always)
    mutating func unmapped(_ id: ObjectID) {
        guard id & Self.lentFlag != 0 else {
            objects[id]?.mappings -= 1
            return
        }
        lent(id)?.mappings -= 1
        giveBackIfUnused(id)
    }

    /// Gives a range of an address space back that nothing came to use.
    mutating func giveBackIfUnused(_ id: ObjectID) {
        guard let range = lent(id), range.mappings == 0 else { return }
        lent.remove(id & ~Self.lentFlag)
        range.end()
    }

    /// - Parameter wanted: the id that it had before, if that is free.
    mutating func insert(_ object: MemoryObject, at location: UInt64, wanted: ObjectID? = nil) -> ObjectID {
        let id: ObjectID
        if let wanted, objects.insert(object, at: wanted) { id = wanted } else { id = objects.insert(object) }
        let index = Int(id) - 1
        while locations.count <= index { locations.append(0) }
        locations[index] = location
        return id
    }

    mutating func remove(_ id: ObjectID) { objects.remove(id) }
}
