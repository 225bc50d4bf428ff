import IOMMU
import IOMMUObjects

/// The areas of an address space that a client describes itself: like the VMAs of a process, over memory objects.
final class SyntheticMemory {
    /// One of them, with what is behind it.
    struct Area {
        let range: AddressRange
        let access: Access
        /// The pages are there before a device touches them.
        let isPopulated: Bool
        /// Where the first byte lies in the machine.
        fileprivate let location: UInt64

        /// Where the byte at `address` lies.
        func physical(_ address: UInt64) -> UInt64 { location &+ (address &- range.start) }
    }

    let map = AreaMap()
    private(set) var objects = AreaObjects()
    /// Of the user who made the address space: areas count as mappings.
    private let account: Account
    private var charged = 0

    /// - Parameter account: is charged for the areas.
    init(account: Account) { self.account = account }

    deinit { account.release(UInt64(charged), of: .mappings) }

    /// How many areas there are.
    var count: Int { map.count }

    /// Takes room for one more area; `EDQUOT` if there is none. What the change that follows does not need is given
    /// back after it.
    func makeRoom() throws(IOMMUError) {
        try account.charge(1, of: .mappings)
        charged += 1
    }

    /// Gives back what no area needs.
    private func settle() {
        guard charged > map.count else { return }
        account.release(UInt64(charged - map.count), of: .mappings)
        charged = map.count
    }

    /// - Throws: `EEXIST` if it meets an area.
    func check(_ range: AddressRange) throws(IOMMUError) {
        guard let other = map.firstOverlap(start: range.start, last: range.last) else { return }
        throw IOMMUError(
            .EEXIST, .vaInUse,
            "\(span(range.length, at: range.start)) meet the area of \(span(other.length, at: other.start))",
            hint: "take that away with mm.unmap first", ["va": .hex(other.start), "length": .hex(other.length)]
        )
    }

    /// Adds an area, after ``makeRoom()``. The range has been checked.
    ///
    /// - Parameters:
    ///   - location: where the memory object lies in the machine.
    ///   - offset: bytes into it that the first byte lies at.
    func insert(
        _ range: AddressRange, _ memory: MemoryObject, id: ObjectID, location: UInt64, offset: UInt64, access: Access,
        isPopulated: Bool
    ) {
        let number = objects.add(memory, id: id, location: location)
        let area = IOMMUObjects.Area(
            start: range.start, last: range.last, offset: offset, memory: number, access: access,
            isPopulated: isPopulated)
        if map.insert(area) != nil { objects.remove(number) }
        settle()
    }

    /// The first part of a range, with at most `limit` areas in it: what is unmapped at a time. The last part is all
    /// that is left of the range.
    func part(of range: AddressRange, areas limit: Int) -> AddressRange {
        guard let end = map.end(ofAreas: limit, from: range.start), end < range.last else { return range }
        return AddressRange(start: range.start, last: end) ?? range
    }

    /// Removes whatever lies in a range; areas that reach out of it keep the rest.
    func remove(_ range: AddressRange) {
        while let area = map.firstOverlap(start: range.start, last: range.last) {
            _ = map.remove(start: area.start)
            if area.start < range.start { keep(area, area.start, range.start &- 1) }
            if area.last > range.last { keep(area, range.last &+ 1, area.last) }
            objects.remove(area.memory)
        }
        settle()
    }

    /// What is left of an area that has been taken out.
    private func keep(_ area: IOMMUObjects.Area, _ start: UInt64, _ last: UInt64) {
        var part = area
        part.offset = area.offset &+ (start &- area.start)
        (part.start, part.last) = (start, last)
        objects.retain(area.memory)
        _ = map.insert(part)
    }

    /// Whether removing a range leaves one area in two parts.
    func isSplit(by range: AddressRange) -> Bool {
        guard let area = map.firstOverlap(start: range.start, last: range.last) else { return false }
        return area.start < range.start && area.last > range.last
    }

    func removeAll() {
        objects.removeAll()
        map.removeAll()
        settle()
    }

    /// The area that holds an address.
    func area(at address: UInt64) -> Area? { map.area(containing: address).flatMap { described($0) } }

    /// All of them, in order. To be walked without a change.
    var areas: some Sequence<Area> {
        sequence(state: 0 as UInt64) { [map] address -> IOMMUObjects.Area? in
            let area = map.area(endingAtOrAfter: address)
            // Addresses have 48 bits.
            if let area { address = area.last &+ 1 }
            return area
        }.lazy.compactMap { [self] in described($0) }
    }

    private func described(_ area: IOMMUObjects.Area) -> Area? {
        guard let range = AddressRange(start: area.start, last: area.last), let entry = objects[area.memory] else {
            return nil
        }
        return Area(
            range: range, access: area.access, isPopulated: area.isPopulated, location: entry.location &+ area.offset)
    }
}
