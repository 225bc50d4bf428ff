import IOMMU

/// Objects by id: the lowest free id from 1 is given out next, as iommufd does.
///
/// Public, since only public code is specialised in other modules: every call looks up an object or two.
public struct IDTable<Element: AnyObject> {
    /// Slot `i` holds id `i + 1`.
    @usableFromInline var slots: ContiguousArray<Element?> = []
    /// No slot below this one is free.
    @usableFromInline var firstCandidate = 0
    /// Ids that nothing has and nothing gets.
    @usableFromInline var retired: Set<ObjectID> = []
    @usableFromInline var used = 0

    /// Objects in the table.
    @inlinable public var count: Int { used }

    /// An empty table.
    @inlinable
    public init() {}

    /// No object has a higher id.
    var lastID: ObjectID { ObjectID(truncatingIfNeeded: slots.count) }

    /// The highest id in use.
    package var highestID: ObjectID? { slots.isEmpty ? nil : lastID }

    /// Whether no id is in use.
    @inlinable public var isEmpty: Bool { count == 0 }

    /// The object with this id, if there is one; any number may be asked for.
    @inlinable
    @inline(__always)
    public subscript(id: ObjectID) -> Element? {
        let index = Int(id) &- 1
        guard index >= 0, index < slots.count else { return nil }
        return slots[index]
    }

    /// The id that ``insert(_:)`` will give next.
    @inlinable
    public mutating func nextID() -> ObjectID {
        while firstCandidate < slots.count, slots[firstCandidate] != nil { firstCandidate += 1 }
        if !retired.isEmpty { skipRetired() }
        return ObjectID(truncatingIfNeeded: firstCandidate + 1)
    }

    @usableFromInline
    mutating func skipRetired() {
        while retired.contains(ObjectID(truncatingIfNeeded: firstCandidate + 1))
            || firstCandidate < slots.count && slots[firstCandidate] != nil
        { firstCandidate += 1 }
    }

    /// Callers bound the number of objects; ids never reach 2³¹.
    @inlinable
    public mutating func insert(_ element: Element) -> ObjectID {
        let id = nextID()
        while slots.count <= firstCandidate { slots.append(nil) }
        slots[firstCandidate] = element
        firstCandidate += 1
        used += 1
        return id
    }

    /// Ids beyond are not given even where somebody asks for one.
    private static var highestWanted: ObjectID { 1 << 24 }

    /// Gives an object the id that it had before.
    ///
    /// - Returns: whether that is free.
    mutating func insert(_ element: Element, at id: ObjectID) -> Bool {
        guard id > 0, id <= Self.highestWanted, self[id] == nil, !retired.contains(id) else { return false }
        let index = Int(id) - 1
        while slots.count <= index { slots.append(nil) }
        slots[index] = element
        used += 1
        return true
    }

    /// The id is given to nothing from now on.
    mutating func retire(free id: ObjectID) {
        guard id > 0, id <= Self.highestWanted, self[id] == nil else { return }
        retired.insert(id)
    }

    /// Those ids, ascending.
    var retiredIDs: [ObjectID] { retired.sorted() }

    /// The object is in the table no more, and its id is free; nil if there was none.
    @inlinable
    @discardableResult
    public mutating func remove(_ id: ObjectID) -> Element? {
        let index = Int(id) &- 1
        guard index >= 0, index < slots.count, let element = slots[index] else { return nil }
        slots[index] = nil
        used -= 1
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
    @inlinable
    public func forEach(_ body: (Element) -> Void) {
        for case let element? in slots { body(element) }
    }

    /// The objects as they are now, each described when it is asked for.
    package func listing(_ describe: @escaping (ObjectID, Element) -> ObjectDescription) -> ObjectListing {
        let slots = slots
        return ObjectListing(count: slots.count) { index in
            slots[index].map { describe(ObjectID(truncatingIfNeeded: index + 1), $0) }
        }
    }

    /// Every object in the order of the ids; a copy, so that the table may change while it is walked.
    @inlinable public var all: [(id: ObjectID, element: Element)] {
        slots.enumerated().compactMap { index, element in
            element.map { (ObjectID(truncatingIfNeeded: index + 1), $0) }
        }
    }
}
