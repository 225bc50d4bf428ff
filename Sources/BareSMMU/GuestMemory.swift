import CLinux
import IOMMU
import IOMMUObjects
import SMMUv3

/// A guest's physical memory: memory objects at guest physical addresses, with holes.
///
/// Nothing lies in a hole, and nothing where a client has truncated its file: an external abort to the device model.
package struct GuestMemory: PhysicalMemory {
    let map: GuestMemoryMap

    /// One atomic load at a multiple of 8; nil in a hole.
    @inline(__always)
    package func load64(_ address: UInt64) -> UInt64? { map.load64(address) }

    /// One atomic store at a multiple of 8; false in a hole, or where nothing may be written.
    package func store64(_ address: UInt64, _ value: UInt64) -> Bool {
        map.find(address).map { $0.object.store64(offset: $0.offset, value) } ?? false
    }

    /// One atomic store at a multiple of 4; false in a hole, or where nothing may be written.
    package func store32(_ address: UInt64, _ value: UInt32) -> Bool {
        map.find(address).map { $0.object.store32(offset: $0.offset, value) } ?? false
    }

    /// Whether the word was `expected` and is `desired` now; nil in a hole, or where nothing may be written.
    package func compareExchange64(_ address: UInt64, expected: UInt64, desired: UInt64) -> Bool? {
        map.find(address).flatMap {
            $0.object.compareExchange64(offset: $0.offset, expected: expected, desired: desired)
        }
    }
}

/// The ranges of a ``GuestMemory``, in order of their addresses: a map in which a million cost no more than a thousand.
final class GuestMemoryMap {
    /// A range as the device model reaches it.
    private struct Found {
        var start: UInt64 = 0
        /// Bytes; 0: nothing has been found.
        var length: UInt64 = 0
        /// The first byte, where the object is mapped.
        var pointer: UnsafeMutableRawPointer?
        /// Bytes from `pointer` that are there.
        var mappedBytes: UInt64 = 0
        var object: MemoryObject?
        /// Bytes into the object that the first byte lies at.
        var offset: UInt64 = 0
    }

    private let areas = AreaMap()
    private var objects = AreaObjects()
    /// The range found last.
    private var recent = Found()

    /// How many there are.
    var count: Int { areas.count }

    /// The memory objects behind them, by id.
    var memories: [ObjectID] { objects.all.map(\.id) }

    /// - Throws: `EEXIST` if it meets a range.
    func insert(
        _ addresses: AddressRange, _ object: MemoryObject, id: ObjectID, offset: UInt64
    ) throws(IOMMUError) {
        let number = objects.add(object, id: id)
        let area = Area(start: addresses.start, last: addresses.last, offset: offset, memory: number, access: [])
        guard let other = areas.insert(area) else { return }
        objects.remove(number)
        throw IOMMUError(
            .EEXIST, .gpaInUse,
            "\(span(addresses.length, at: addresses.start)) meet guest memory at \(hexadecimal(other.start))",
            hint: "take that away with vsmmu.unmap_memory first",
            ["gpa": .hex(other.start), "length": .hex(other.length)]
        )
    }

    /// Removes the range that begins at an address; false if none does.
    func remove(startingAt address: UInt64) -> Bool {
        guard let area = areas.remove(start: address) else { return false }
        if recent.start == address { recent = Found() }
        objects.remove(area.memory)
        return true
    }

    /// Whoever has the memory objects may close them then.
    func removeAll() {
        objects.removeAll()
        areas.removeAll()
        recent = Found()
    }

    @inline(__always)
    func load64(_ address: UInt64) -> UInt64? {
        guard address &- recent.start < recent.length || locate(address) else { return nil }
        let offset = address &- recent.start
        guard let pointer = recent.pointer else { return recent.object?.load64(offset: recent.offset &+ offset) }
        guard offset & 7 == 0, offset &+ 8 <= recent.mappedBytes else { return nil }
        return clinux_load64(pointer + Int(truncatingIfNeeded: offset))
    }

    /// The object at an address, and where in it.
    func find(_ address: UInt64) -> (object: MemoryObject, offset: UInt64)? {
        guard address &- recent.start < recent.length || locate(address), let object = recent.object else { return nil }
        return (object, recent.offset &+ (address &- recent.start))
    }

    /// Makes the range that holds `address` the recent one; false if there is none.
    @inline(never)
    private func locate(_ address: UInt64) -> Bool {
        guard let area = areas.area(containing: address), let entry = objects[area.memory] else { return false }
        let object = entry.object
        recent = Found(
            start: area.start, length: area.length, pointer: object.pointer.map { $0 + Int(area.offset) },
            mappedBytes: min(object.size &- area.offset, area.length), object: object, offset: area.offset)
        return true
    }
}
