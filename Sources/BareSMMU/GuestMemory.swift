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

/// The ranges of a ``GuestMemory``, in order of their addresses.
final class GuestMemoryMap {
    struct Range {
        let addresses: AddressRange
        let object: MemoryObject
        let memoryID: ObjectID
        /// Bytes into the object that the first byte lies at.
        let offset: UInt64
        /// The first byte, where the object is mapped.
        let pointer: UnsafeMutableRawPointer?
        /// Bytes from `pointer` that are there.
        let mappedBytes: UInt64
    }

    private(set) var ranges: ContiguousArray<Range> = []
    /// The range found last.
    private var recent = 0

    /// - Throws: `EEXIST` if it meets a range.
    func insert(
        _ addresses: AddressRange, _ object: MemoryObject, id: ObjectID, offset: UInt64
    ) throws(IOMMUError) {
        let index = index(endingAtOrBehind: addresses.start)
        guard index == ranges.count || ranges[index].addresses.start > addresses.last else {
            let other = ranges[index].addresses
            throw IOMMUError(
                .EEXIST, .gpaInUse,
                "\(span(addresses.length, at: addresses.start)) meet guest memory at \(hexadecimal(other.start))",
                hint: "take that away with vsmmu.unmap_memory first",
                ["gpa": .hex(other.start), "length": .hex(other.length)]
            )
        }
        object.mappings += 1
        let available = object.size &- offset
        ranges.insert(
            Range(
                addresses: addresses, object: object, memoryID: id, offset: offset,
                pointer: object.pointer.map { $0 + Int(offset) }, mappedBytes: min(available, addresses.length)
            ), at: index
        )
        recent = index
    }

    /// Removes the range that begins at an address; false if none does.
    func remove(startingAt address: UInt64) -> Bool {
        let index = index(endingAtOrBehind: address)
        guard index < ranges.count, ranges[index].addresses.start == address else { return false }
        ranges[index].object.mappings -= 1
        ranges.remove(at: index)
        recent = 0
        return true
    }

    func removeAll() {
        for range in ranges { range.object.mappings -= 1 }
        ranges = []
        recent = 0
    }

    @inline(__always)
    func load64(_ address: UInt64) -> UInt64? {
        guard recent < ranges.count || locate(address) else { return nil }
        if !ranges[recent].addresses.contains(address) {
            guard locate(address) else { return nil }
        }
        let offset = address &- ranges[recent].addresses.start
        guard let pointer = ranges[recent].pointer else {
            return ranges[recent].object.load64(offset: ranges[recent].offset &+ offset)
        }
        guard offset & 7 == 0, offset &+ 8 <= ranges[recent].mappedBytes else { return nil }
        return clinux_load64(pointer + Int(truncatingIfNeeded: offset))
    }

    /// The object at an address, and where in it.
    func find(_ address: UInt64) -> (object: MemoryObject, offset: UInt64)? {
        guard locate(address) else { return nil }
        let range = ranges[recent]
        return (range.object, range.offset &+ (address &- range.addresses.start))
    }

    /// Makes the range that holds `address` the recent one; false if there is none.
    private func locate(_ address: UInt64) -> Bool {
        if recent < ranges.count, ranges[recent].addresses.contains(address) { return true }
        let index = index(endingAtOrBehind: address)
        guard index < ranges.count, ranges[index].addresses.contains(address) else { return false }
        recent = index
        return true
    }

    private func index(endingAtOrBehind address: UInt64) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].addresses.last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
