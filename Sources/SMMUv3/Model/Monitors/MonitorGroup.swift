/// A Performance Monitor Counter Group (chapter 10): eight counters of 64 bits, each with a filter of its own.
///
/// What is UNKNOWN out of reset is zero.
struct MonitorGroup {
    /// EVCNTR, SVR, EVTYPER and SMR of one counter.
    struct Counter {
        var value: UInt64 = 0
        var shadow: UInt64 = 0
        var type: UInt32 = 0
        var match: UInt32 = 0
    }

    /// What a count has led to.
    struct Effects {
        /// An interrupt is due.
        var interrupts = false
    }

    static let size = 8
    /// All counters, as bits of the bitmaps.
    static let all: UInt64 = (1 << UInt64(size)) - 1

    private(set) var counters = [Counter](repeating: Counter(), count: MonitorGroup.size)
    /// CNTENSET0.
    private(set) var enabled: UInt64 = 0
    /// INTENSET0.
    private(set) var interrupting: UInt64 = 0
    /// OVSSET0.
    private(set) var overflowed: UInt64 = 0
    /// CR.E.
    private(set) var isEnabled = false
    /// IRQ_CTRL.IRQEN.
    private(set) var signals = false
    /// IRQ_STATUS.IRQ_ABT.
    var hasAborted = false
    private(set) var IRQ_CFG0: UInt64 = 0
    private(set) var IRQ_CFG1: UInt32 = 0
    private(set) var IRQ_CFG2: UInt32 = 0
    /// Some counter counts: transactions are looked at one by one.
    private(set) var isCounting = false
    /// The clock when the counters last were up to date.
    private var clock: UInt64 = 0

    // MARK: Counting

    /// What the clock shows now has been counted.
    mutating func start(at now: UInt64) { clock = now }

    /// Counts what the clock says has passed (event 0).
    mutating func catchUp(_ now: UInt64) -> Effects {
        let elapsed = now &- clock
        clock = now
        guard isCounting, elapsed > 0 else { return Effects() }
        return count { $0.type & 0xffff == MonitorEvent.cycle.rawValue ? elapsed : 0 }
    }

    /// Counts the events of one transaction of a stream.
    ///
    /// - Parameter width: bits of StreamIDs that filters have.
    mutating func count(_ events: MonitorEvents, streamID: UInt32, width: UInt64) -> Effects {
        count { counter in
            guard let event = MonitorEvent(rawValue: counter.type & 0xffff), event != .cycle,
                counter.admits(streamID, width: width)
            else {
                return 0
            }
            return events[event]
        }
    }

    private mutating func count(_ amount: (Counter) -> UInt64) -> Effects {
        var wrapped: UInt64 = 0
        for index in counters.indices where enabled >> UInt64(index) & 1 != 0 {
            let (sum, overflow) = counters[index].value.addingReportingOverflow(amount(counters[index]))
            counters[index].value = sum
            if overflow { wrapped |= 1 << UInt64(index) }
        }
        guard wrapped != 0 else { return Effects() }
        overflowed |= wrapped
        let captures = counters.indices.contains {
            wrapped >> UInt64($0) & 1 != 0 && counters[$0].type & EVTYPER.OVFCAP != 0
        }
        if captures { capture() }
        return Effects(interrupts: signals && wrapped & interrupting != 0)
    }

    private mutating func capture() {
        for index in counters.indices { counters[index].shadow = counters[index].value }
    }

    // MARK: Registers

    mutating func enable(_ set: UInt64, clear: UInt64) {
        enabled = (enabled | set & Self.all) & ~clear
        isCounting = isEnabled && enabled != 0
    }

    mutating func interrupt(_ set: UInt64, clear: UInt64) {
        interrupting = (interrupting | set & Self.all) & ~clear
    }

    /// Software that sets a bit causes neither interrupt nor capture.
    mutating func overflow(_ set: UInt64, clear: UInt64) {
        overflowed = (overflowed | set & Self.all) & ~clear
    }

    mutating func writeCR(_ value: UInt32) {
        isEnabled = value & 1 != 0
        isCounting = isEnabled && enabled != 0
    }

    mutating func writeCAPR(_ value: UInt32) {
        if value & 1 != 0 { capture() }
    }

    mutating func writeIRQ_CTRL(_ value: UInt32) {
        if value & 1 != 0 && !signals { hasAborted = false }
        signals = value & 1 != 0
    }

    /// The message that interrupts are; as it was while interrupts are enabled.
    mutating func configureMessage(_ change: (inout UInt64, inout UInt32, inout UInt32) -> Void) {
        guard !signals else { return }
        change(&IRQ_CFG0, &IRQ_CFG1, &IRQ_CFG2)
        IRQ_CFG0 &= 0x00ff_ffff_ffff_fffc
        IRQ_CFG2 &= 0x3f
    }

    mutating func change(_ index: Int, _ change: (inout Counter) -> Void) {
        guard counters.indices.contains(index) else { return }
        change(&counters[index])
    }

    // MARK: State

    static let words = size * 3 + 6

    var state: [UInt64] {
        counters.flatMap { [$0.value, $0.shadow, UInt64($0.type) << 32 | UInt64($0.match)] } + [
            enabled, interrupting, overflowed,
            (isEnabled ? 1 : 0) | (signals ? 2 : 0) | (hasAborted ? 4 : 0), IRQ_CFG0,
            UInt64(IRQ_CFG1) << 32 | UInt64(IRQ_CFG2),
        ]
    }

    init() {}

    /// nil for what no group can be.
    ///
    /// - Parameter width: bits of StreamIDs that filters have.
    init?(state: some RandomAccessCollection<UInt64>, width: UInt64) {
        let words = Array(state)
        guard words.count == Self.words else { return nil }
        for index in counters.indices {
            let pair = words[index * 3 + 2]
            counters[index] = Counter(
                value: words[index * 3], shadow: words[index * 3 + 1], type: UInt32(pair >> 32),
                match: UInt32(truncatingIfNeeded: pair))
            guard counters[index].type & ~EVTYPER.implemented == 0, UInt64(counters[index].match) >> width == 0 else {
                return nil
            }
        }
        let rest = Array(words.dropFirst(Self.size * 3))
        guard (rest[0] | rest[1] | rest[2]) & ~Self.all == 0, rest[3] < 8, rest[4] & ~0x00ff_ffff_ffff_fffc == 0,
            rest[5] & 0xffff_ffff & ~0x3f == 0
        else {
            return nil
        }
        (enabled, interrupting, overflowed) = (rest[0], rest[1], rest[2])
        (isEnabled, signals, hasAborted) = (rest[3] & 1 != 0, rest[3] & 2 != 0, rest[3] & 4 != 0)
        (IRQ_CFG0, IRQ_CFG1, IRQ_CFG2) = (rest[4], UInt32(rest[5] >> 32), UInt32(truncatingIfNeeded: rest[5]))
        isCounting = isEnabled && enabled != 0
    }
}

extension MonitorGroup.Counter {
    /// Whether the filter lets a stream's events through (10.4).
    func admits(_ streamID: UInt32, width: UInt64) -> Bool {
        guard type & EVTYPER.FILTER_SID_SPAN != 0 else { return match == streamID }
        // Ones up to the first zero say how many bits, that zero's included, do not matter.
        let ignored = UInt64((~match).trailingZeroBitCount) + 1
        return ignored > width || UInt64(match ^ streamID) >> ignored == 0
    }
}

/// SMMU_PMCG_EVTYPERn (10.5.2.2).
enum EVTYPER {
    static let OVFCAP: UInt32 = 1 << 31
    static let FILTER_SID_SPAN: UInt32 = 1 << 29
    static let implemented = OVFCAP | FILTER_SID_SPAN | 0xffff
}

/// The events that can be counted (10.3).
enum MonitorEvent: UInt32, CaseIterable {
    /// A nanosecond of the delegate's clock.
    case cycle
    /// A transaction or translation request.
    case transaction
    /// One that needed the tables.
    case translationMiss
    /// One that needed STE or CD.
    case configurationMiss
    /// A table descriptor that was read or updated.
    case walkAccess
    /// An L1STD, STE, L1CD or CD that was read.
    case configurationAccess
    /// An ATS Translation Request.
    case translationRequest
    /// An ATS Translated transaction.
    case translatedTransaction
}

/// The events of one transaction.
struct MonitorEvents {
    var walkAccesses: UInt64
    var configurationAccesses: UInt64
    var addressType: AddressType

    subscript(event: MonitorEvent) -> UInt64 {
        switch event {
        case .cycle: 0
        case .transaction: 1
        case .translationMiss: min(1, walkAccesses)
        case .configurationMiss: min(1, configurationAccesses)
        case .walkAccess: walkAccesses
        case .configurationAccess: configurationAccesses
        case .translationRequest: addressType == .translationRequest ? 1 : 0
        case .translatedTransaction: addressType == .translated ? 1 : 0
        }
    }
}
