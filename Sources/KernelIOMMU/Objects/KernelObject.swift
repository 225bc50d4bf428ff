import IOMMU
import IOMMUObjects

/// Something in an iommufd, as far as iommud knows it: its id is the kernel's, what it refers to is what iommud has
/// seen happen. The kernel cannot be asked.
class KernelObject {
    let kind: ObjectKind
    let id: ObjectID

    init(_ kind: ObjectKind, id: ObjectID) {
        self.kind = kind
        self.id = id
    }

    /// How many references other objects hold.
    var users: Int { 0 }
    /// What it holds, once per reference.
    var references: [KernelObject] { [] }
    /// What else `session.objects` shows of it.
    var state: [IOMMUError.Member] { [] }

    final var description: ObjectDescription {
        ObjectDescription(
            kind: kind.rawValue, id: id, users: users,
            refersTo: references.map { ObjectDescription.Reference(kind: $0.kind.rawValue, id: $0.id) }, state: state)
    }
}

/// The objects of one iommufd.
struct KernelObjectTable {
    private var objects: [ObjectID: KernelObject] = [:]

    var count: Int { objects.count }
    /// In the order of the ids.
    var all: [KernelObject] { objects.values.sorted { $0.id < $1.id } }

    subscript(id: ObjectID) -> KernelObject? { objects[id] }

    mutating func insert(_ object: KernelObject) { objects[object.id] = object }
    mutating func remove(_ object: KernelObject) { objects[object.id] = nil }
    mutating func removeAll() { objects = [:] }

    /// `ENOENT` for an id that is unknown or of another kind.
    func object<Object: KernelObject>(
        _ id: ObjectID, _ kind: ObjectKind, as type: Object.Type
    ) throws(IOMMUError) -> Object {
        guard let object = objects[id] as? Object else { throw ObjectTable.unknown(id, kind) }
        return object
    }
}
