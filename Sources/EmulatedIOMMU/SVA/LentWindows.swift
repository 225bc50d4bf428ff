import IOMMU
import IOMMUObjects

/// Physical addresses that stand for pages of processes which mappings of IOASes use.
///
/// No memory lies there: tables point at them, so that the SMMU translates and checks as always; a device's data then
/// goes to the process. Each mapping has a window of its own, as aligned as its addresses are.
final class LentWindows {
    /// A place in a process.
    struct Place {
        let space: AddressSpace
        /// Virtual address there.
        let address: UInt64
        /// Bytes from there to the end of the window.
        let length: UInt64
    }

    /// An address space, by a number of its own as long as it has windows.
    private final class Tenant {
        let space: AddressSpace
        var windows = 0

        init(_ space: AddressSpace) { self.space = space }
    }

    private let range: AddressRange
    /// Offsets are virtual addresses, memory objects the numbers of tenants.
    private let map = AreaMap()
    private var tenants = IDTable<Tenant>()
    private var numbers: [ObjectIdentifier: ObjectID] = [:]

    /// - Parameter range: physical addresses to give out.
    init(range: AddressRange) { self.range = range }

    /// Windows in use.
    var count: Int { map.count }

    /// - Parameters:
    ///   - address: a multiple of 4096, as `length` is, which is not 0.
    /// - Returns: where the first byte appears.
    /// - Throws: `ENOMEM` where no addresses are left.
    func take(for space: AddressSpace, address: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 {
        let modulus: UInt64 = length >= 1 << 30 ? 1 << 30 : length >= 2 << 20 ? 2 << 20 : 4096
        guard
            let start = map.firstHole(
                start: range.start, last: range.last, length: length, modulus: modulus, residue: address)
        else {
            throw IOMMUError(
                .ENOMEM, .noPhysicalSpace,
                "no physical addresses are left for \(hexadecimal(length)) bytes of a process",
                hint: "unmap what is not needed", ["length": .hex(length)])
        }
        let number = numbers[ObjectIdentifier(space)] ?? tenants.insert(Tenant(space))
        numbers[ObjectIdentifier(space)] = number
        tenants[number]?.windows += 1
        _ = map.insert(
            Area(
                start: start, last: start &+ (length &- 1), offset: address, memory: number, access: [.read, .write]))
        return start
    }

    /// Ends the window that begins there.
    func release(_ physicalAddress: UInt64) {
        guard let area = map.remove(start: physicalAddress), let tenant = tenants[area.memory] else { return }
        tenant.windows -= 1
        guard tenant.windows == 0 else { return }
        tenants.remove(area.memory)
        numbers[ObjectIdentifier(tenant.space)] = nil
    }

    /// Whether any window is of that address space.
    func has(_ space: AddressSpace) -> Bool { numbers[ObjectIdentifier(space)] != nil }

    /// What lies at a physical address; nil: no process.
    func place(at physicalAddress: UInt64) -> Place? {
        guard let area = map.area(containing: physicalAddress), let tenant = tenants[area.memory] else { return nil }
        let done = physicalAddress &- area.start
        return Place(space: tenant.space, address: area.offset &+ done, length: area.length &- done)
    }
}
