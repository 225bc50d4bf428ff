import IOMMU

/// The devices of the laboratory topology, on whatever drivers, and one session that uses them.
package protocol SessionLaboratory {
    associatedtype Context: IOMMUContext

    /// What the session's calls go to.
    var context: Context { get }
}

/// Each is there for one kind of behaviour.
extension SessionLaboratory {
    package static var pci: String { "0000:01:00.0" }
    package static var pairFirst: String { "0000:02:00.0" }
    package static var pairSecond: String { "0000:02:00.1" }
    package static var stalling: String { "0000:03:00.0" }
    package static var reserving: String { "0000:04:00.0" }
    package static var wide: String { "0000:05:00.0" }
    package static var other: String { "0001:01:00.0" }
}

extension SessionLaboratory {
    /// Binds a device. - Returns: its object.
    package func bind(_ name: String) throws -> ObjectID { try context.bind(deviceNamed: name).device }

    /// A memory object of that many bytes.
    package func memory(_ size: UInt64 = 1 << 24) throws -> ObjectID {
        try context.createMemory(size: size, name: nil, huge: false)
    }

    /// Maps memory, where the context likes it if no address is given. - Returns: the address.
    @discardableResult
    package func map(
        _ ioas: ObjectID, _ memory: ObjectID, at iova: UInt64?, length: UInt64 = 4096, offset: UInt64 = 0,
        access: Access = [.read, .write]
    ) throws -> UInt64 {
        try context.map(
            ioas: ioas, MapRequest(memory: memory, offset: offset, length: length, iova: iova, access: access))
    }
}
