import IOMMU

/// One address space as one SMMU sees it: an ASID, and tables that are filled on fault.
final class AddressSpaceView {
    /// Which of the 512 pages of a window the tables hold, and with what rights.
    private struct Window {
        var rights = [UInt8](repeating: 0, count: 512)
    }

    let smmu: EmulatedSMMU
    let domain: SVADomain
    /// A TLBI of the CPUs for a range, or (nil) the whole address space, where those reach the SMMU and the ASID is
    /// theirs; without it commands are needed.
    private let broadcast: ((AddressRange?) -> Void)?
    /// (device, PASID) pairs that translate through it.
    var users = 0
    /// Until the first of them does: the domain that moved out of the way of the CPUs' ASID, to have it back if the
    /// bond cannot be made.
    var displaced: PagingDomain?
    private var windows: [UInt64: Window] = [:]

    init(smmu: EmulatedSMMU, domain: SVADomain, broadcast: ((AddressRange?) -> Void)?) {
        self.smmu = smmu
        self.domain = domain
        self.broadcast = broadcast
    }

    var usesBroadcast: Bool { broadcast != nil }

    var asid: UInt16 { domain.asid }

    /// Lets the device use pages of one 2 MiB window.
    ///
    /// - Parameters:
    ///   - pages: of the window, 0 to 511.
    ///   - physical: where the window's first byte lies.
    /// - Throws: `ENOMEM`; the pages before the failure are there.
    func fill(
        window: UInt64, pages: Range<Int>, access: Access, physical: UInt64
    ) throws(IOMMUError) {
        let rights = access.allowsWriting ? Access([.read, .write]).rawValue : Access.read.rawValue
        let start = window &* ProcessWindows.size
        var page = pages.lowerBound
        while page < pages.upperBound {
            let present = windows[window]?.rights[page] ?? 0
            let end = run(of: present, window: window, from: page, to: pages.upperBound)
            let (offset, length) = (UInt64(page) << 12, UInt64(end - page) << 12)
            if present != rights {
                if present != 0 {
                    mark(window, page..<end, 0)
                    domain.unmap(va: start &+ offset, length: length)
                    invalidate(start &+ offset, length: length)
                }
                try domain.map(
                    va: start &+ offset, pa: physical &+ offset, length: length, access: Access(rawValue: rights))
                mark(window, page..<end, rights)
            }
            page = end
        }
    }

    /// Takes pages away, and makes the SMMU and the devices forget them.
    ///
    /// - Returns: whether anything was there.
    @discardableResult
    func zap(_ range: AddressRange) -> Bool {
        var touched = false
        let (first, last) = (range.start / ProcessWindows.size, range.last / ProcessWindows.size)
        let keys =
            last - first < UInt64(windows.count)
            ? (first...last).filter { windows[$0] != nil } : windows.keys.filter { first <= $0 && $0 <= last }
        for key in keys {
            let start = key &* ProcessWindows.size
            let low = key == first ? Int((range.start &- start) >> 12) : 0
            let high = key == last ? Int((range.last &- start) >> 12) + 1 : 512
            var page = low
            while page < high {
                let present = windows[key]?.rights[page] ?? 0
                let end = run(of: present, window: key, from: page, to: high)
                if present != 0 {
                    mark(key, page..<end, 0)
                    domain.unmap(va: start &+ UInt64(page) << 12, length: UInt64(end - page) << 12)
                    touched = true
                }
                page = end
            }
            if low == 0, high == 512 { windows[key] = nil }
        }
        guard touched else { return false }
        let isEverything = range.start == 0 && range.last >= SVAManager.lastAddress
        invalidate(range.start, length: isEverything ? .max : range.length)
        return true
    }

    private func invalidate(_ address: UInt64, length: UInt64) {
        broadcast?(AddressRange(start: address, length: length))
        domain.invalidate(va: address, length: length, broadcast: usesBroadcast)
    }

    private func run(of rights: UInt8, window: UInt64, from page: Int, to end: Int) -> Int {
        guard let present = windows[window]?.rights else { return end }
        var next = page + 1
        while next < end, present[next] == rights { next += 1 }
        return next
    }

    private func mark(_ window: UInt64, _ pages: Range<Int>, _ rights: UInt8) {
        for page in pages { windows[window, default: Window()].rights[page] = rights }
    }
}
