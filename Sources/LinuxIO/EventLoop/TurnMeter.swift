import CLinux
import Glibc

/// What a turn is spent on, by whoever does most of it.
public struct TurnLabel: Hashable, Sendable {
    let index: Int

    /// Nothing that has a name of its own.
    public static let other = TurnLabel(index: 0)
    /// The end of a connection, and of what it leaves.
    public static let end = TurnLabel(index: 1)

    /// The method of that number, from 0.
    public static func method(_ number: Int) -> TurnLabel { TurnLabel(index: number &+ 2) }

    /// The number of the method, if it is one.
    public var method: Int? { index >= 2 ? index - 2 : nil }
}

/// How long turns of a loop took, and what was worst.
public struct TurnStatistics: Sendable {
    /// Upper bounds of the buckets, in microseconds; the last bucket has none.
    public static let bounds: [UInt64] = [100, 250, 500, 1000, 2000, 5000, 10_000, 100_000]

    /// Turns in each bucket.
    public internal(set) var buckets = [UInt64](repeating: 0, count: bounds.count + 1)
    /// The longest turn of each label, in microseconds.
    public internal(set) var longest: [TurnLabel: UInt64] = [:]
}

/// Measures the turn in hand: what it may still take, and what it has been spent on.
///
/// Held by pointer, and asked for every request: it counts steps, and looks at the processor's counter after a number
/// of them. The time is that of the clock, waits for a processor included; of turns of more than a millisecond, which
/// are few, it is what the thread has used, with at most ``turnsBetweenReadings`` short turns before it.
public struct TurnMeter {
    /// How many turns a reading of the thread's processor time may be old.
    static let turnsBetweenReadings = 64

    private let ticksPerMicrosecond: UInt64
    private var deadline = UInt64.max
    private var unitsLeft = TurnBudget.unitsBetweenLooks
    private var began: UInt64 = 0
    private var lastLook: UInt64 = 0
    private var longestSpan: UInt64 = 0
    private var worst = TurnLabel.other
    private let shortTurn: UInt64
    private var processorTime: UInt64 = 0
    private var turnsSinceReading = 0
    /// What is in hand; it is to blame for the time until the next look.
    public var label = TurnLabel.other
    /// Microseconds between the last two looks at the counter.
    public private(set) var lastSpan: UInt64 = 0
    private var shortTurns: UInt64 = 0
    private var longer = TurnStatistics()

    /// Without a deadline until ``allow(microseconds:)``.
    public init() {
        ticksPerMicrosecond = Self.measuredRate()
        shortTurn = TurnStatistics.bounds[0] &* ticksPerMicrosecond
    }

    private static func measuredRate() -> UInt64 {
        let time = MonotonicClock.nanoseconds
        let ticks = clinux_ticks()
        while MonotonicClock.nanoseconds &- time < 200_000 {}
        let elapsed = max(1, MonotonicClock.nanoseconds &- time)
        return max(1, (clinux_ticks() &- ticks) &* 1000 / elapsed)
    }

    /// All turns so far.
    public var statistics: TurnStatistics {
        var all = longer
        all.buckets[0] += shortTurns
        return all
    }

    // MARK: A turn

    /// A turn begins, whose first part may take so much.
    mutating func begin(allowing microseconds: UInt64) {
        began = clinux_ticks()
        deadline = began &+ microseconds &* ticksPerMicrosecond
        unitsLeft = TurnBudget.unitsBetweenLooks
        lastLook = began
        longestSpan = 0
        worst = .other
        label = .other
    }

    /// The turn ends.
    mutating func end() {
        let ticks = clinux_ticks() &- began
        turnsSinceReading &+= 1
        // The counters of two processors may differ by a little.
        guard ticks >= shortTurn, ticks < 1 << 62 else {
            shortTurns &+= 1
            if turnsSinceReading >= Self.turnsBetweenReadings { _ = readProcessorTime() }
            return
        }
        look()
        count(ticks / ticksPerMicrosecond)
    }

    private mutating func count(_ elapsed: UInt64) {
        let used = elapsed < 1000 ? elapsed : min(elapsed, readProcessorTime() / 1000)
        let bucket = TurnStatistics.bounds.firstIndex { used < $0 } ?? TurnStatistics.bounds.count
        longer.buckets[bucket] += 1
        longer.longest[worst] = max(longer.longest[worst] ?? 0, used)
    }

    /// Nanoseconds that the thread has used since the last time.
    private mutating func readProcessorTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        let now = UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
        defer {
            processorTime = now
            turnsSinceReading = 0
        }
        return now &- processorTime
    }

    // MARK: What is in hand

    /// What follows may take so much.
    public mutating func allow(microseconds: UInt64) {
        deadline = clinux_ticks() &+ microseconds &* ticksPerMicrosecond
        unitsLeft = TurnBudget.unitsBetweenLooks
    }

    /// Counts steps; whether it is time to ``look()``.
    @inline(__always)
    public mutating func countDown(_ units: Int) -> Bool {
        unitsLeft &-= units
        return unitsLeft <= 0
    }

    /// Whether what is allowed is used up; asked after `units` steps, see ``TurnBudget/isSpent(after:)``.
    @inline(__always)
    public mutating func isSpent(after units: Int) -> Bool {
        countDown(units) && look()
    }

    /// Looks at the counter: the time since the last look goes to what is in hand. Returns whether what is allowed is
    /// used up.
    @inline(never)
    @discardableResult
    public mutating func look() -> Bool {
        let now = clinux_ticks()
        let span = now &- lastLook
        lastLook = now
        lastSpan = span / ticksPerMicrosecond
        if span > longestSpan, span < 1 << 62 {
            longestSpan = span
            worst = label
        }
        let isOver = now >= deadline
        unitsLeft = isOver ? 0 : TurnBudget.unitsBetweenLooks
        return isOver
    }
}
