/// What the VMM of a bare SMMU has to be told, in the order in which it happened.
package enum BareSMMUNotice: Sendable, Equatable {
    /// Translations that the VMM keeps may no longer answer.
    case invalidate(BareInvalidation)
    /// A transaction waits for the guest.
    case stall(id: UInt64, streamID: UInt32, tag: UInt16)
    /// The guest, or a reset, has decided about one that waited.
    case resume(id: UInt64, streamID: UInt32, BareStallAction)
    /// The guest has answered a group of page requests.
    case pageResponse(BarePageResponse)
    /// An MSI to an address with no memory behind it.
    case message(address: UInt64, data: UInt32)
    /// A wake-up event for the guest's CPUs that wait for one (WFE).
    case event
    /// So many others could not be told, since the connection they were for had ended.
    case lost(UInt64)

    /// As subscribers choose it; nil: whoever is told of the others is told of this.
    package var kind: BackendEvent.Kind? {
        switch self {
        case .invalidate: .vsmmuInvalidate
        case .stall: .vsmmuStall
        case .resume: .vsmmuResume
        case .pageResponse: .vsmmuPageResponse
        case .message: .vsmmuMessage
        case .event: .vsmmuEventSent
        case .lost: nil
        }
    }
}

/// Which translations go.
package struct BareInvalidation: Sendable, Equatable {
    /// What kind of set they are; the raw value is what clients see.
    package enum Scope: String, Sendable, CaseIterable {
        /// All, of all streams.
        case all
        /// Of an ASID.
        case asid
        /// Of a VMID.
        case vmid
        /// At addresses.
        case range
        /// All of a stream with ATS.
        case stream
        /// Of streams whose configuration was invalidated.
        case config
    }

    /// What kind of set they are.
    package var scope: Scope
    /// nil: of any, or global.
    package var asid: UInt16?
    /// nil: of any, or EL2's.
    package var vmid: UInt16?
    /// First and last byte.
    package var addresses: ClosedRange<UInt64>?
    /// nil: of all streams.
    package var streamIDs: ClosedRange<UInt32>?
    /// nil: whatever the substream, and without one.
    package var substreamID: UInt32?
    /// What the last level says has changed, and nothing above; nil: does not apply.
    package var leaf: Bool?
    /// It is for what devices with ATS keep (CMD_ATC_INV), else for what the SMMU's own caches would.
    package var ats = false

    /// All others are left out.
    package init(_ scope: Scope) { self.scope = scope }

    /// Becomes one that says what both say, if that is one, too.
    package mutating func absorb(_ next: BareInvalidation) -> Bool {
        if self == next { return true }
        guard scope == .range, let mine = addresses, let others = next.addresses else { return false }
        var same = next
        same.addresses = mine
        guard same == self else { return false }
        let isBehind = others.lowerBound == 0 || mine.upperBound >= others.lowerBound - 1
        let isBefore = mine.lowerBound == 0 || others.upperBound >= mine.lowerBound - 1
        guard isBehind, isBefore else { return false }
        addresses = min(mine.lowerBound, others.lowerBound)...max(mine.upperBound, others.upperBound)
        return true
    }
}

/// What becomes of a transaction that waited; the raw value is what clients see.
package enum BareStallAction: String, Sendable, CaseIterable {
    /// It is tried again.
    case retry
    /// The device is told of an abort.
    case abort
    /// It reads zero or is ignored, and the device is told of success.
    case terminate
}

/// The guest's answer to a page request group.
package struct BarePageResponse: Sendable, Equatable {
    /// The device that asked.
    package var streamID: UInt32
    /// nil: the answer has none.
    package var substreamID: UInt32?
    /// The group, 9 bits.
    package var group: UInt16
    /// "success", "invalid" or "failure"
    package var code: String

    /// With these properties.
    package init(streamID: UInt32, substreamID: UInt32?, group: UInt16, code: String) {
        (self.streamID, self.substreamID) = (streamID, substreamID)
        (self.group, self.code) = (group, code)
    }
}

/// A transaction that waits for the guest.
package struct BareStall: Sendable, Equatable {
    /// Unique in its SMMU, from 1.
    package var id: UInt64
    /// Its tag, which CMD_RESUME names.
    package var tag: UInt16
    /// What waits.
    package var transaction: TransactionRequest

    /// With these properties.
    package init(id: UInt64, tag: UInt16, transaction: TransactionRequest) {
        (self.id, self.tag, self.transaction) = (id, tag, transaction)
    }
}

/// A page that a device asks the guest for (ATS PRI).
package struct BarePageRequest: Sendable, Equatable {
    /// Who asks, for what and where.
    package var transaction: TransactionRequest
    /// The page request group, 9 bits.
    package var group: UInt16
    /// The last of its group, which wants an answer.
    package var isLast: Bool

    /// With these properties.
    package init(_ transaction: TransactionRequest, group: UInt16, isLast: Bool) {
        (self.transaction, self.group, self.isLast) = (transaction, group, isLast)
    }
}

/// What the SMMU does with a page request.
package enum BarePageOutcome: Sendable, Equatable {
    /// It is in the PRI queue.
    case queued
    /// The SMMU answers itself, in the guest's place.
    case answered(BarePageResponse)
    /// There will be no answer.
    case discarded
}

/// A TLB invalidation that a CPU of the guest broadcasts.
package struct BareBroadcast: Sendable, Equatable {
    /// nil: of all.
    package var vmid: UInt16?
    /// nil: of all.
    package var asid: UInt16?
    /// First byte and bytes; nil: everywhere.
    package var range: (address: UInt64, length: UInt64)? { address.map { ($0, length) } }
    private let address: UInt64?
    private let length: UInt64
    /// Of EL2, else of EL1.
    package var isEL2: Bool

    /// - Parameters:
    ///   - address: first byte; nil: everywhere.
    ///   - length: bytes.
    package init(vmid: UInt16?, asid: UInt16?, address: UInt64?, length: UInt64, isEL2: Bool) {
        (self.vmid, self.asid, self.isEL2) = (vmid, asid, isEL2)
        (self.address, self.length) = (address, length)
    }
}
