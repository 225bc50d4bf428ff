import IOMMU

/// The memory objects behind the areas of an ``AreaMap`` outside of an IOAS: each area holds a number, small and as
/// long as it lives the same, by which its object is found with one look.
package struct AreaObjects {
    /// One memory object.
    package struct Entry {
        /// It counts each area as a mapping.
        package let object: MemoryObject
        /// What the session calls it.
        package let id: ObjectID
        /// Where it lies in the machine; 0 where that is not needed.
        package let location: UInt64
        /// Areas behind which it is.
        package internal(set) var areas: Int
    }

    /// By number; nil: the number is free.
    private var entries: ContiguousArray<Entry?> = []
    private var numbers: [ObjectID: UInt32] = [:]
    private var free: [UInt32] = []

    /// None.
    package init() {}

    /// The memory object that an area of the map names.
    package subscript(number: UInt32) -> Entry? { entries[Int(number)] }

    /// Those that have areas, by id, and how many.
    package var all: [Entry] { entries.compactMap { $0 }.sorted { $0.id < $1.id } }

    /// One more area of a memory object. - Returns: the number for it.
    package mutating func add(_ object: MemoryObject, id: ObjectID, location: UInt64 = 0) -> UInt32 {
        object.mappings += 1
        if let number = numbers[id] {
            entries[Int(number)]?.areas += 1
            return number
        }
        let number = free.popLast() ?? UInt32(entries.count)
        if Int(number) == entries.count { entries.append(nil) }
        entries[Int(number)] = Entry(object: object, id: id, location: location, areas: 1)
        numbers[id] = number
        return number
    }

    /// One more area of a memory object that has some: one is cut in two.
    package mutating func retain(_ number: UInt32) {
        entries[Int(number)]?.object.mappings += 1
        entries[Int(number)]?.areas += 1
    }

    /// One area less.
    package mutating func remove(_ number: UInt32) {
        guard let entry = entries[Int(number)] else { return }
        entry.object.mappings -= 1
        guard entry.areas == 1 else {
            entries[Int(number)]?.areas -= 1
            return
        }
        entries[Int(number)] = nil
        numbers[entry.id] = nil
        free.append(number)
    }

    /// No areas any more.
    package mutating func removeAll() {
        for case let entry? in entries { entry.object.mappings -= entry.areas }
        self = AreaObjects()
    }
}
