import IOMMU
import IOMMUObjects

/// Which physical addresses stand for client memory: ordered windows that never overlap.
final class WindowTable {
    struct Window {
        let base: UInt64
        /// Inclusive, at the end of the object's last page.
        let last: UInt64
        let object: MemoryObject
    }

    /// Where windows may lie.
    private let space: AddressRange
    private var windows: [Window] = []
    /// Where to look first for room: behind the window made last.
    private var cursor: UInt64
    /// The window found last; neighbouring accesses hit it again.
    private var recent = 0

    init(space: AddressRange) {
        self.space = space
        cursor = space.start
    }

    /// Takes a free stretch, aligned so that tables can use the largest blocks that fit the object.
    func add(_ object: MemoryObject) throws(IOMMUError) -> UInt64 {
        let length = (object.size &+ 0xfff) & ~0xfff
        // Below a block: as much as an IOVA chosen for the whole object is aligned.
        let alignment: UInt64 =
            length >= 1 << 30 ? 1 << 30 : length >= 2 << 20 ? 2 << 20 : length.roundedUpToPowerOfTwo
        guard length >= object.size, length > 0,
            let base = room(from: cursor, length: length, alignment: alignment)
                ?? room(from: space.start, length: length, alignment: alignment)
        else {
            throw IOMMUError(
                .ENOMEM, .noPhysicalSpace, "no physical addresses are left for \(hexadecimal(object.size)) bytes",
                hint: "close memory objects that are not needed", ["size": .hex(object.size)]
            )
        }
        let window = Window(base: base, last: base &+ (length &- 1), object: object)
        windows.insert(window, at: index(behind: base))
        cursor = window.last &+ 1
        return base
    }

    /// Takes the stretch that begins there; false where it is not free.
    func add(_ object: MemoryObject, at base: UInt64) -> Bool {
        let length = (object.size &+ 0xfff) & ~0xfff
        guard base & 0xfff == 0, length >= object.size, let wanted = AddressRange(start: base, length: length),
            space.contains(wanted)
        else { return false }
        let index = index(behind: base)
        guard index == 0 || windows[index - 1].last < base, index == windows.count || windows[index].base > wanted.last
        else { return false }
        windows.insert(Window(base: base, last: wanted.last, object: object), at: index)
        return true
    }

    func remove(_ base: UInt64) {
        let index = index(behind: base) - 1
        guard index >= 0, windows[index].base == base else { return }
        windows.remove(at: index)
        recent = 0
    }

    /// The window that holds an address.
    @inline(__always)
    func find(_ address: UInt64) -> Window? {
        if recent < windows.count, windows[recent].base <= address, address <= windows[recent].last {
            return windows[recent]
        }
        return search(address)
    }

    private func search(_ address: UInt64) -> Window? {
        let index = index(behind: address) - 1
        guard index >= 0, address <= windows[index].last else { return nil }
        recent = index
        return windows[index]
    }

    /// The first index whose window begins behind `address`.
    private func index(behind address: UInt64) -> Int {
        var (low, high) = (0, windows.count)
        while low < high {
            let middle = (low + high) / 2
            if windows[middle].base <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func room(from start: UInt64, length: UInt64, alignment: UInt64) -> UInt64? {
        var index = index(behind: start)
        var candidate = start
        if index > 0, windows[index - 1].last >= start { candidate = windows[index - 1].last &+ 1 }
        while true {
            candidate = (candidate &+ alignment &- 1) & ~(alignment &- 1)
            guard let wanted = AddressRange(start: candidate, length: length), space.contains(wanted) else {
                return nil
            }
            guard index < windows.count, windows[index].base <= wanted.last else { return candidate }
            candidate = windows[index].last &+ 1
            index += 1
        }
    }
}
