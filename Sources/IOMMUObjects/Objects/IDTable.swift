import IOMMU

/// Objects by id: the lowest free id from 1 is given out next, as iommufd does.
package struct IDTable<Element: AnyObject> {
    /// Slot `i` holds id `i + 1`.
    private var slots: ContiguousArray<Element?> = []
    /// No slot below this one is free.
    private var firstCandidate = 0
    /// Objects in the table.
    package private(set) var count = 0

    package init() {}

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
        return ObjectID(truncatingIfNeeded: firstCandidate + 1)
    }

    /// Callers bound the number of objects; ids never reach 2³¹.
    package mutating func insert(_ element: Element) -> ObjectID {
        let id = nextID()
        if firstCandidate == slots.count {
            slots.append(element)
        } else {
            slots[firstCandidate] = element
        }
        firstCandidate += 1
        count += 1
        return id
    }

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
