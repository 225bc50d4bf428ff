/// Something of which there is only so much for everybody together: tags of an SMMU, memory for tables, descriptors.
///
/// A user who is no administrator may hold a share of it, so that no single one can take what is everybody's. What
/// administrators reach is its real end.
package final class Pool {
    /// What it holds, for refusals and figures: "ASIDs of smmu0".
    package let name: String
    /// All that there is.
    package let capacity: UInt64
    /// The part that only administrators may take.
    package let reserved: UInt64
    /// What everybody but administrators holds together.
    package fileprivate(set) var usedByUsers: UInt64 = 0
    private let exhausted: IOMMUError?
    /// Whether those who are no administrators can reach the end of it, which nobody else notices.
    fileprivate let hasEnd: Bool

    /// A pool that nobody has taken anything of.
    ///
    /// - Parameters:
    ///   - reserved: of the capacity, for administrators alone.
    ///   - exhausted: what others hear once only that is left.
    package init(_ name: String, capacity: UInt64, reserved: UInt64 = 0, exhausted: IOMMUError? = nil) {
        (self.name, self.capacity, self.reserved, self.exhausted) = (name, capacity, min(reserved, capacity), exhausted)
        hasEnd = exhausted != nil
    }

    /// What a user with this share may hold: one at least.
    package static func part(_ fraction: Double, of capacity: UInt64) -> UInt64 {
        fraction >= 1 ? .max : max(1, UInt64(Double(capacity) * max(0, fraction)))
    }

    fileprivate func checkReserve(_ amount: UInt64) throws(IOMMUError) {
        guard let exhausted, usedByUsers &+ amount > capacity &- reserved else { return }
        throw exhausted
    }
}

/// What one user holds of a pool, for all of the user's sessions together.
///
/// Behind a pointer, so that what takes on a hot path adds to an integer and nothing else.
package final class PoolShare {
    /// What is held, and how much may be.
    package struct Count {
        /// What the user holds.
        package var used: UInt64 = 0
        /// What the user may hold; `UInt64.max` for an administrator.
        package var limit: UInt64 = .max
    }

    /// Of what it is a share.
    package let pool: Pool
    /// Whose it is; named in refusals.
    package let uid: UInt32
    /// For paths that count themselves; they check with ``check(_:)``, and give back what they took. Lives as long as
    /// the share.
    package let count: UnsafeMutablePointer<Count>
    private var isAdministrators = false

    /// Of a pool that never ends, for what is on nobody's account.
    package static var unlimited: PoolShare { PoolShare(of: Pool("memory", capacity: .max), uid: .max) }

    init(of pool: Pool, uid: UInt32) {
        (self.pool, self.uid) = (pool, uid)
        count = .allocate(capacity: 1)
        count.initialize(to: Count())
    }

    deinit { count.deallocate() }

    /// What the user holds.
    package var used: UInt64 { count.pointee.used }

    /// `EDQUOT` if the user would hold more than the share, and what the pool says if only the administrators' part is
    /// left.
    @inline(__always)
    package func check(_ amount: UInt64) throws(IOMMUError) {
        let (total, overflow) = count.pointee.used.addingReportingOverflow(amount)
        guard !overflow, total <= count.pointee.limit else { throw refusal(of: amount) }
        if pool.hasEnd, !isAdministrators { try pool.checkReserve(amount) }
    }

    /// Takes something, or refuses as ``check(_:)`` does.
    package func take(_ amount: UInt64) throws(IOMMUError) {
        try check(amount)
        add(amount)
    }

    /// As ``take(_:)``; false where that would refuse, unless it is to be taken in any case.
    func take(_ amount: UInt64, always: Bool) -> Bool {
        if !always { do { try check(amount) } catch { return false } }
        add(amount)
        return true
    }

    private func add(_ amount: UInt64) {
        count.pointee.used += amount
        if !isAdministrators { pool.usedByUsers += amount }
    }

    /// Gives back what was taken.
    package func giveBack(_ amount: UInt64) {
        assert(count.pointee.used >= amount, "more \(pool.name) are given back than were taken")
        let amount = min(amount, count.pointee.used)
        count.pointee.used -= amount
        if !isAdministrators { pool.usedByUsers -= min(amount, pool.usedByUsers) }
    }

    func apply(fraction: Double, isAdministrators: Bool) {
        count.pointee.limit = isAdministrators ? .max : Pool.part(fraction, of: pool.capacity)
        guard isAdministrators != self.isAdministrators else { return }
        self.isAdministrators = isAdministrators
        if isAdministrators { pool.usedByUsers -= min(used, pool.usedByUsers) } else { pool.usedByUsers += used }
    }

    private func refusal(of amount: UInt64) -> IOMMUError {
        .overShare(of: pool.name, uid: uid, limit: count.pointee.limit, used: used, requested: amount)
    }
}

extension IOMMUError {
    /// `EDQUOT`: a user would hold more of what is everybody's than the share that the configuration leaves to one.
    package static func overShare(
        of things: String, uid: UInt32, limit: UInt64, used: UInt64, requested: UInt64 = 1
    ) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .quotaExceeded, "user \(uid) would hold more than \(limit) of the \(things), one user's share",
            hint: "give some back, or ask the administrator to raise limits.share, for one user with [[share]]",
            [
                "key": .text("limits.share"), "limit": .number(limit), "used": .number(used),
                "requested": .number(requested),
            ])
    }
}
