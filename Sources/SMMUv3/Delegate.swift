/// The wired interrupts of the Non-secure programming interface (3.18).
public enum Interrupt: UInt8, CaseIterable, Sendable {
    /// The event queue went from empty to non-empty.
    case eventQueue
    /// The PRI queue went non-empty or overflowed.
    case priQueue
    /// A CMD_SYNC with CS = SIG_IRQ completed.
    case commandSync
    /// A Global Error became active.
    case globalError
    /// A counter of the Performance Monitor Counter Group overflowed (10.2.1).
    case monitors
}

/// One stalled transaction that software has decided about, or that is retried because its record would be stale.
public struct StallResolution: Equatable, Sendable {
    /// The stream that stalled.
    public var streamID: UInt32
    /// The tag of its record, which the command named.
    public var STAG: UInt16
    /// Retry, or terminate with or without an abort.
    public var action: ResumeAction
    /// False if the event queue never took its record, so that software does not know of it.
    public var isRecorded: Bool

    /// - Parameters:
    ///   - streamID: the stream that stalled.
    ///   - STAG: its tag.
    ///   - action: retry, or terminate with or without abort.
    ///   - isRecorded: whether the event queue has taken its record.
    public init(streamID: UInt32, STAG: UInt16, action: ResumeAction, isRecorded: Bool = true) {
        self.streamID = streamID
        self.STAG = STAG
        self.action = action
        self.isRecorded = isRecorded
    }
}

/// An ATS invalidation on its way to a device.
public struct ATCInvalidation: Equatable, Sendable {
    /// The device.
    public var streamID: UInt32
    /// The PASID whose translations go; nil: those without one.
    public var substreamID: UInt32?
    /// All substreams' global translations too.
    public var global: Bool
    /// First byte, aligned to the size.
    public var address: UInt64
    /// log2 of the bytes; 64 means everything.
    public var log2Size: Int

    /// - Parameters:
    ///   - streamID: the device.
    ///   - substreamID: its PASID, if any.
    ///   - global: global flag.
    ///   - address: first byte.
    ///   - log2Size: log2 of the bytes.
    public init(streamID: UInt32, substreamID: UInt32?, global: Bool, address: UInt64, log2Size: Int) {
        self.streamID = streamID
        self.substreamID = substreamID
        self.global = global
        self.address = address
        self.log2Size = log2Size
    }
}

/// The answer to a page request group on its way to a device.
public struct PageRequestAnswer: Equatable, Sendable {
    /// The device that asked.
    public var streamID: UInt32
    /// Its PASID, if the answer carries one (PASID_Required).
    public var substreamID: UInt32?
    /// The page request group, 9 bits.
    public var prgIndex: UInt16
    /// What became of the group.
    public var response: PageResponse

    /// - Parameters:
    ///   - streamID: the device.
    ///   - substreamID: its PASID, if the response carries one.
    ///   - prgIndex: page request group.
    ///   - response: success, invalid or failure.
    public init(streamID: UInt32, substreamID: UInt32?, prgIndex: UInt16, response: PageResponse) {
        self.streamID = streamID
        self.substreamID = substreamID
        self.prgIndex = prgIndex
        self.response = response
    }
}

/// What the SMMU tells the system around it: its interrupt pins and its link to the devices.
///
/// Calls come from inside register writes and translations; the receiver must not call back into the SMMU
/// before that call has returned.
public protocol SMMUDelegate: AnyObject {
    /// An interrupt line pulses, or an MSI was written, whatever IRQ_CFG says.
    func interruptRaised(_ interrupt: Interrupt)
    /// A stalled transaction may be retried or is terminated.
    func stallResolved(_ resolution: StallResolution)
    /// A device must forget translations; false if it does not answer in time, which fails the next CMD_SYNC.
    func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool
    /// A page request group is answered.
    func pageRequestAnswered(_ answer: PageRequestAnswer)
    /// Configuration was invalidated: what is held back may fare differently now.
    func configurationInvalidated()
    /// Translations were invalidated, with ``SMMU/reportsInvalidations``.
    func invalidated(_ invalidation: Invalidation)
    /// Whether a CMD_SYNC may complete, with ``SMMU/reportsInvalidations``. If not it waits, with the commands behind
    /// it, for ``SMMU/consumeWaitingCommands()``.
    func maySynchronize() -> Bool
    /// An MSI to where memory takes no store; false: nothing takes it, an external abort.
    func messageSignalled(address: UInt64, data: UInt32) -> Bool
    /// A wake-up event for CPUs that wait for one (WFE), of an SMMU with IDR0.SEV.
    func eventSent()
    /// The clock of the Performance Monitor Counter Group (10.3, event 0); it never goes back.
    func cycles() -> UInt64
}

extension SMMUDelegate {
    /// Who holds nothing back need not know.
    public func configurationInvalidated() {}
    /// Who keeps no translations need not know.
    public func invalidated(_ invalidation: Invalidation) {}
    /// Who is told of nothing has nothing to wait for.
    public func maySynchronize() -> Bool { true }
    /// Memory is all there is.
    public func messageSignalled(address: UInt64, data: UInt32) -> Bool { false }
    /// Who has no CPUs wakes none.
    public func eventSent() {}
    /// Without a clock none passes.
    public func cycles() -> UInt64 { 0 }
}
