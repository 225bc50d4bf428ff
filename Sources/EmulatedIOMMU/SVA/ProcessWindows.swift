import IOMMU

/// Physical addresses that stand for pages of processes, in windows of 2 MiB of one address space each.
///
/// No memory lies there. The tables of an address space point into its windows, so that the SMMU translates and checks
/// as always; a device's data then goes to the process the window belongs to.
final class ProcessWindows {
    /// Bytes of virtual addresses that one window stands for; what one leaf table maps.
    static let size: UInt64 = 2 << 20

    private struct Window {
        unowned let space: AddressSpace
        let address: UInt64
    }

    private let range: AddressRange
    private var windows: [Window?] = []
    private var free: [Int] = []

    /// - Parameter range: physical addresses to give out.
    init(range: AddressRange) { self.range = range }

    /// How many are in use.
    var count: Int { windows.count - free.count }

    /// - Parameter address: a multiple of ``size``.
    /// - Throws: `ENOMEM` if all are in use.
    func take(for space: AddressSpace, address: UInt64) throws(IOMMUError) -> UInt64 {
        let window = Window(space: space, address: address)
        if let index = free.popLast() {
            windows[index] = window
            return physical(index)
        }
        guard UInt64(windows.count + 1) * Self.size - 1 <= range.last &- range.start else {
            throw IOMMUError(
                .ENOMEM, .noProcessWindows,
                "devices use more than \(hexadecimal(range.last &- range.start)) bytes of processes at once",
                hint: "unbind address spaces that are not needed")
        }
        windows.append(window)
        return physical(windows.count - 1)
    }

    func release(_ physicalAddress: UInt64) {
        guard let index = index(of: physicalAddress), windows[index] != nil else { return }
        windows[index] = nil
        free.append(index)
    }

    /// Whose memory a physical address stands for.
    func space(at physicalAddress: UInt64) -> AddressSpace? {
        index(of: physicalAddress).flatMap { windows[$0]?.space }
    }

    private func physical(_ index: Int) -> UInt64 { range.start &+ UInt64(index) &* Self.size }

    private func index(of physicalAddress: UInt64) -> Int? {
        guard range.contains(physicalAddress) else { return nil }
        let index = Int((physicalAddress &- range.start) / Self.size)
        return index < windows.count ? index : nil
    }
}
