import IOMMU

/// Objects by id: the lowest free id from 1 is given out next, as iommufd does.
package struct IDTable<Element: AnyObject> {
    /// Slot `i` holds id `i + 1`.
    private var slots: ContiguousArray<Element?> = []
    /// No slot below this one is free.
    private var firstCandidate = 0
    /// Ids that nothing has and nothing gets.
    private var retired: Set<ObjectID> = []
    /// Objects in the table.
    package private(set) var count = 0

    /// An empty table.
    package init() {}

    /// Whether no id is in use.
    package var isEmpty: Bool { count == 0 }

    /// The object with this id, if there is one; any number may be asked for.
    @inline(__always)
    package subscript(id: ObjectID) -> Element? {
        let index = Int(id) &- 1
        guard index >= 0, index < slots.count else { return nil }
        return slots[index]
    }

    /// The id that ``insert(_:)`` will give next.
    package mutating func nextID() -> ObjectID {
        while firstCandidate < slots.count, slots[firstCandidate] != nil { firstCandidate += 1 }
        if !retired.isEmpty { skipRetired() }
        return ObjectID(truncatingIfNeeded: firstCandidate + 1)
    }

    private mutating func skipRetired() {
        while retired.contains(ObjectID(truncatingIfNeeded: firstCandidate + 1))
            || firstCandidate < slots.count && slots[firstCandidate] != nil
        { firstCandidate += 1 }
    }

    /// Callers bound the number of objects; ids never reach 2³¹.
    package mutating func insert(_ element: Element) -> ObjectID {
        let id = nextID()
        while slots.count <= firstCandidate { slots.append(nil) }
        slots[firstCandidate] = element
        firstCandidate += 1
        count += 1
        return id
    }

    /// The object is in the table no more, and its id is free; nil if there was none.
    @discardableResult
    package mutating func remove(_ id: ObjectID) -> Element? {
        let index = Int(id) &- 1
        guard index >= 0, index < slots.count, let element = slots[index] else { return nil }
        slots[index] = nil
        count -= 1
        firstCandidate = min(firstCandidate, index)
        while let last = slots.last, last == nil { slots.removeLast() }
        firstCandidate = min(firstCandidate, slots.count)
        return element
    }

    /// Takes an object out and never gives its id to another.
    mutating func retire(_ id: ObjectID) {
        guard remove(id) != nil else { return }
        retired.insert(id)
    }

    /// How many ids are retired.
    var retiredCount: Int { retired.count }

    /// Walks the objects in the order of the ids; the table must not change meanwhile.
    package func forEach(_ body: (Element) -> Void) {
        for case let element? in slots { body(element) }
    }

    /// Every object in the order of the ids; a copy, so that the table may change while it is walked.
    package var all: [(id: ObjectID, element: Element)] {
        slots.enumerated().compactMap { index, element in
            element.map { (ObjectID(truncatingIfNeeded: index + 1), $0) }
        }
    }
}
