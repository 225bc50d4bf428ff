import IOMMU

/// How many PASIDs each user has, by their width.
///
/// Low PASIDs are scarce where devices have few bits for them, and go first to whoever comes first. So of those below
/// each width that a device has, a user who is no administrator gets a share, and then one above that width.
struct PASIDShares {
    /// PASIDs of so many bits, by user; of no bits: all of them together, since none has no bits.
    private var held: [UInt32: [Int]] = [:]
    private static let bits = 20
    /// Users who have none any more are forgotten only where there are more than so many: most come back.
    private static let usersKept = 64

    /// The lowest PASID that a user may be given.
    ///
    /// - Parameters:
    ///   - widths: bits of the PASIDs of all devices, each once, the smallest first.
    ///   - end: beyond the last that the device can send.
    /// - Throws: `EDQUOT` if the user's share of those below `end` is used up.
    func first(for account: Account, widths: [Int], below end: UInt32) throws(IOMMUError) -> UInt32 {
        guard let held = held[account.uid] else { return 1 }
        var first: UInt32 = 1
        var (used, counted) = (0, 0)
        for width in widths where width <= Self.bits {
            while counted < width {
                counted += 1
                used += held[counted]
            }
            let limit = account.part(of: (UInt64(1) << UInt64(width)) - 1)
            guard UInt64(used) >= limit else { continue }
            first = UInt32(1) << UInt32(width)
            guard first < end else {
                throw .overShare(
                    of: "PASIDs of \(width) bits", uid: account.uid, limit: limit, used: UInt64(used))
            }
        }
        return first
    }

    /// The user has a PASID from now on.
    mutating func add(_ pasid: UInt32, of uid: UInt32) {
        Self.count(&held[uid, default: Array(repeating: 0, count: Self.bits + 1)], pasid, 1)
    }

    /// The user has it no longer.
    mutating func remove(_ pasid: UInt32, of uid: UInt32) {
        Self.count(&held[uid, default: Array(repeating: 0, count: Self.bits + 1)], pasid, -1)
        if held.count > Self.usersKept, held[uid]?[0] == 0 { held[uid] = nil }
    }

    private static func count(_ counts: inout [Int], _ pasid: UInt32, _ change: Int) {
        counts[width(pasid)] += change
        counts[0] += change
    }

    private static func width(_ pasid: UInt32) -> Int { min(UInt32.bitWidth - pasid.leadingZeroBitCount, bits) }
}
