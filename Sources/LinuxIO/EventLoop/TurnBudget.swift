/// What a piece of long work may still take of its turn.
///
/// The work does some of its steps and asks, again and again, whether it is spent, and then stops at the next place
/// where it can go on. Asking costs next to nothing: the clock is looked at only after a number of steps.
public struct TurnBudget {
    /// Steps from one look at the clock to the next.
    static let unitsBetweenLooks = 32

    /// As `MonotonicClock` has it; none if only steps are counted.
    private let deadline: UInt64?
    private var unitsLeft: Int

    /// Spent at a time, in nanoseconds of `MonotonicClock`.
    public init(until deadline: UInt64) {
        self.deadline = deadline
        unitsLeft = Self.unitsBetweenLooks
    }

    /// Spent after so many steps, however long they take: for tests, where work is to be cut at every place where it
    /// can be.
    public init(units: Int) {
        deadline = nil
        unitsLeft = units
    }

    /// Whether the work has to stop here. Once it has to, the answer stays the same.
    ///
    /// - Parameter units: small steps done since it was last asked, of about a microsecond or less each. What takes
    ///   longer counts as several.
    @inline(__always)
    public mutating func isSpent(after units: Int = 1) -> Bool {
        unitsLeft &-= units
        return unitsLeft <= 0 && isOver()
    }

    @inline(never)
    private mutating func isOver() -> Bool {
        unitsLeft = 0
        guard let deadline, MonotonicClock.nanoseconds < deadline else { return true }
        unitsLeft = Self.unitsBetweenLooks
        return false
    }
}
