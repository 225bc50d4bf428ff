import IOMMU
import IOMMUObjects

/// The areas of an address space that a client describes itself: like the VMAs of a process, over memory objects.
final class SyntheticMemory {
    struct Area {
        var range: AddressRange
        let memory: MemoryObject
        let memoryID: ObjectID
        /// Where the memory object lies in the machine.
        let location: UInt64
        /// Bytes into the memory object that the first byte lies at.
        var offset: UInt64
        let access: Access
        /// The pages are there before a device touches them.
        let isPopulated: Bool

        /// Where the byte at `address` lies.
        func physical(_ address: UInt64) -> UInt64 { location &+ offset &+ (address &- range.start) }
    }

    private(set) var areas: [Area] = []

    /// - Throws: `EEXIST` if it meets an area.
    func check(_ range: AddressRange) throws(IOMMUError) {
        let index = firstIndex(endingAtOrBehind: range.start)
        guard index == areas.count || areas[index].range.start > range.last else {
            let other = areas[index].range
            throw IOMMUError(
                .EEXIST, .vaInUse,
                "\(span(range.length, at: range.start)) meet the area of \(span(other.length, at: other.start))",
                hint: "take that away with mm.unmap first", ["va": .hex(other.start), "length": .hex(other.length)]
            )
        }
    }

    /// The range has been checked.
    func insert(_ area: Area) {
        area.memory.mappings += 1
        areas.insert(area, at: firstIndex(endingAtOrBehind: area.range.start))
    }

    /// Removes whatever lies in a range; areas that reach out of it keep the rest.
    func remove(_ range: AddressRange) {
        let start = firstIndex(endingAtOrBehind: range.start)
        var end = start
        var kept: [Area] = []
        while end < areas.count, areas[end].range.start <= range.last {
            let area = areas[end]
            if area.range.start < range.start { kept.append(Self.part(of: area, area.range.start, range.start &- 1)) }
            if area.range.last > range.last { kept.append(Self.part(of: area, range.last &+ 1, area.range.last)) }
            area.memory.mappings -= 1
            end += 1
        }
        for area in kept { area.memory.mappings += 1 }
        areas.replaceSubrange(start..<end, with: kept)
    }

    /// Whether removing a range leaves one area in two parts.
    func isSplit(by range: AddressRange) -> Bool {
        let index = firstIndex(endingAtOrBehind: range.start)
        return index < areas.count && areas[index].range.start < range.start && areas[index].range.last > range.last
    }

    func removeAll() {
        for area in areas { area.memory.mappings -= 1 }
        areas = []
    }

    /// The area that holds an address.
    func area(at address: UInt64) -> Area? {
        let index = firstIndex(endingAtOrBehind: address)
        guard index < areas.count, areas[index].range.contains(address) else { return nil }
        return areas[index]
    }

    private static func part(of area: Area, _ start: UInt64, _ last: UInt64) -> Area {
        var part = area
        part.offset = area.offset &+ (start &- area.range.start)
        part.range = AddressRange(start: start, last: last) ?? area.range
        return part
    }

    private func firstIndex(endingAtOrBehind address: UInt64) -> Int {
        var (low, high) = (0, areas.count)
        while low < high {
            let middle = (low + high) / 2
            if areas[middle].range.last < address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
