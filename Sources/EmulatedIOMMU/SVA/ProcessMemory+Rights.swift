import IOMMU

extension ProcessMemory {
    /// Every byte of a range lies in an area with these rights, as far as `maps` says now.
    ///
    /// - Parameters:
    ///   - length: bytes, at least 1; the range does not wrap.
    ///   - goesOn: called before each area.
    /// - Throws: `unreachable` with the first byte that is in no area, `denied` with the first that lacks a right.
    func check(
        _ address: UInt64, length: UInt64, _ access: Access, goesOn: () -> Void
    ) throws(Failure) {
        guard isWritable || !access.allowsWriting else { throw .denied(address) }
        guard hasQuery else { return try checkByText(address, last: address &+ (length &- 1), access) }
        var next = address
        while next &- address < length {
            goesOn()
            guard let area = try area(at: next) else { throw isAlive ? .unreachable(next) : .gone }
            guard area.permits(access) else { throw .denied(next) }
            // At the end of all addresses there is no next one.
            guard area.end > next else { return }
            next = area.end
        }
    }

    /// As above, reading the whole of `maps` once.
    private func checkByText(_ address: UInt64, last: UInt64, _ access: Access) throws(Failure) {
        var next = address
        var failure: Failure?
        var isThrough = false
        try forEachArea { area in
            guard area.end > next else { return true }
            if area.start > next {
                failure = .unreachable(next)
            } else if !area.permits(access) {
                failure = .denied(next)
            } else if area.end > last {
                isThrough = true
            } else {
                next = area.end
                return true
            }
            return false
        }
        if let failure { throw failure }
        guard isThrough else { throw isAlive ? .unreachable(next) : .gone }
    }
}

extension ProcessArea {
    func permits(_ access: Access) -> Bool {
        (!access.contains(.read) || isReadable) && (!access.allowsWriting || isWritable)
    }
}
