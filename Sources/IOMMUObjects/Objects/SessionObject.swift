import IOMMU

/// The kinds of the iommufd id space.
package enum ObjectKind: String, Sendable {
    case ioas
    case hwpt
    case device
    case fault
    case viommu
    case vdevice
    case veventq

    /// The refusal of an id that is none of this kind.
    package var unknown: Reason {
        switch self {
        case .ioas: .unknownIOAS
        case .hwpt: .unknownHWPT
        case .device: .unknownDevice
        case .fault: .unknownFault
        case .viommu: .unknownVIOMMU
        case .vdevice: .unknownVdevice
        case .veventq: .unknownVEventQ
        }
    }
}

/// Something in the iommufd id space of a context.
package class SessionObject {
    /// What it is.
    package let kind: ObjectKind
    /// Given by the table that holds it; 0 before.
    package fileprivate(set) var id: ObjectID = 0

    init(_ kind: ObjectKind) { self.kind = kind }

    /// How many references other objects of the context hold; it cannot be destroyed before that is 0.
    package var users: Int { 0 }
    /// What it holds, once per reference.
    var references: [SessionObject] { [] }
    /// What else `session.objects` shows of it.
    var state: [IOMMUError.Member] { [] }

    final var description: ObjectDescription {
        ObjectDescription(
            kind: kind.rawValue, id: id, users: users,
            refersTo: references.map { ObjectDescription.Reference(kind: $0.kind.rawValue, id: $0.id) }, state: state)
    }
}

/// The iommufd id space of a context.
package struct ObjectTable {
    private var table = IDTable<SessionObject>()

    /// An empty id space.
    package init() {}

    /// Objects in the table.
    package var count: Int { table.count }
    /// No object has a higher id.
    var lastID: ObjectID { table.lastID }
    /// Whether no id is in use.
    package var isEmpty: Bool { table.isEmpty }
    /// As they are now, each described when it is asked for.
    var listing: ObjectListing { table.listing { $1.description } }
    /// In the order of the ids.
    package var all: [SessionObject] { table.all.map(\.element) }

    /// Walks the IOASes in the order of their ids; the table must not change meanwhile.
    func forEachIOAS(_ body: (IOAS) -> Void) {
        table.forEach { object in
            if object.kind == .ioas, let ioas = object as? IOAS { body(ioas) }
        }
    }

    mutating func insert(_ object: SessionObject) { object.id = table.insert(object) }

    /// Gives it the id that it had before; false, and nothing done, where that is taken.
    mutating func insert(_ object: SessionObject, at id: ObjectID) -> Bool {
        guard table.insert(object, at: id) else { return false }
        object.id = id
        return true
    }

    /// Ids that nothing has and nothing gets, ascending.
    var tombstoneIDs: [ObjectID] { table.retiredIDs }

    /// A tombstone where nothing was.
    mutating func bury(free id: ObjectID) { table.retire(free: id) }

    mutating func remove(_ object: SessionObject) { table.remove(object.id) }

    /// Takes an object out and leaves a tombstone: the id stays taken for as long as the context lives.
    mutating func bury(_ object: SessionObject) { table.retire(object.id) }

    var tombstones: Int { table.retiredCount }

    /// The object with this id, if there is one.
    @inline(__always)
    package subscript(id: ObjectID) -> SessionObject? { table[id] }

    /// `ENOENT` for an id that is unknown or of another kind, as in iommufd.
    @inline(__always)
    func object<Object: SessionObject>(
        _ id: ObjectID, _ kind: ObjectKind, as type: Object.Type
    ) throws(IOMMUError) -> Object {
        guard let object = table[id] as? Object else { throw Self.unknown(id, kind) }
        return object
    }

    /// `ENOENT`: no object of that kind has the id.
    package static func unknown(_ id: ObjectID, _ kind: ObjectKind) -> IOMMUError {
        .unknown(kind.unknown, kind.rawValue, id, key: kind.rawValue)
    }
}
