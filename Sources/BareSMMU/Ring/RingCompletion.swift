import CLinux
import IOMMU
import SMMUv3

/// What the client of a ring is told: eight words, of which the first two say what.
struct RingCompletion {
    /// The low byte of word 1.
    enum Kind: UInt64 {
        case translated = 0
        case fault = 1
        case stalled = 2
        case terminated = 3
        /// The submission is none.
        case refused = 4
        case invalidate = 16
        case resume = 17
        case message = 18
    }

    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)

    /// - Parameters:
    ///   - kind: of what.
    ///   - detail: what kind of it, 8 bits.
    ///   - flags: 16 bits.
    ///   - extra: the upper half of word 1.
    @inline(__always)
    init(_ kind: Kind, tag: UInt64 = 0, detail: UInt64 = 0, flags: UInt64 = 0, extra: UInt32 = 0) {
        words.0 = tag
        words.1 = kind.rawValue | detail &<< 8 | flags &<< 16 | UInt64(extra) &<< 32
    }

    /// Puts it where the client reads it, once it may.
    @inline(__always)
    func store(at pointer: UnsafeMutableRawPointer) {
        clinux_store64(pointer, words.0)
        clinux_store64(pointer + 8, words.1)
        clinux_store64(pointer + 16, words.2)
        clinux_store64(pointer + 24, words.3)
        clinux_store64(pointer + 32, words.4)
        clinux_store64(pointer + 40, words.5)
        clinux_store64(pointer + 48, words.6)
        clinux_store64(pointer + 56, words.7)
    }
}

// MARK: - Translations

extension RingCompletion {
    /// log2 of the page size, 0 for what nothing translated; permissions, whether the TLB answered; attributes.
    @inline(__always)
    init(_ output: Output, tag: UInt64) {
        let attributes = output.attributes
        let flags: UInt64 =
            (attributes.isReadable ? 1 : 0) | (attributes.isWritable ? 2 : 0) | (attributes.isExecutable ? 4 : 0)
            | (output.isCached ? 8 : 0)
        let log2Size = output.pageSize == 0 ? 0 : UInt64(output.pageSize.trailingZeroBitCount)
        self.init(
            .translated, tag: tag, detail: log2Size, flags: flags,
            extra: UInt32(attributes.memoryAttributes) | UInt32(attributes.shareability) &<< 8)
        words.2 = output.address
    }

    /// - Parameter aborts: the device sees an abort, else its access reads zero or is ignored.
    init(fault record: EventRecord, isRecorded: Bool, aborts: Bool, tag: UInt64) {
        self.init(.fault, tag: tag, flags: (isRecorded ? 1 : 0) | (aborts ? 2 : 0))
        setRecord(record)
    }

    init(stall: UInt64, STAG: UInt16, record: EventRecord, isRecorded: Bool, tag: UInt64) {
        self.init(.stalled, tag: tag, flags: isRecorded ? 1 : 0, extra: UInt32(STAG))
        words.2 = stall
        setRecord(record)
    }

    init(_ reason: Termination, tag: UInt64) { self.init(.terminated, tag: tag, detail: reason.number) }

    private mutating func setRecord(_ record: EventRecord) {
        let record = record.words
        (words.4, words.5, words.6, words.7) = (record[0], record[1], record[2], record[3])
    }
}

extension Termination {
    /// As clients of rings know it; numbers stay.
    fileprivate var number: UInt64 {
        switch self {
        case .steAbort: 0
        case .gbpaAbort: 1
        case .smmuDisabled: 2
        case .faultNotRecorded: 3
        case .readAsZero: 4
        case .badStreamID: 5
        case .atsUnsupportedRequest: 6
        case .atsCompleterAbort: 7
        case .atsNoAccess: 8
        case .atsTranslatedForbidden: 9
        case .addressBeyondOAS: 10
        }
    }
}

// MARK: - Notices

extension RingCompletion {
    /// nil for what a ring does not carry.
    init?(_ notice: BareSMMUNotice) {
        switch notice {
        case .invalidate(let invalidation): self.init(invalidation)
        case .resume(let stall, let streamID, let action):
            let number: UInt64 =
                switch action {
                case .retry: 0
                case .abort: 1
                case .terminate: 2
                }
            self.init(.resume, detail: number, extra: streamID)
            words.2 = stall
        case .message(let address, let data):
            self.init(.message, extra: data)
            words.2 = address
        case .stall, .pageResponse, .event, .lost: return nil
        }
    }

    private init(_ invalidation: BareInvalidation) {
        let scope: UInt64 =
            switch invalidation.scope {
            case .all: 0
            case .asid: 1
            case .vmid: 2
            case .range: 3
            case .stream: 4
            case .config: 5
            }
        var flags: UInt64 = invalidation.ats ? 1 : 0
        flags |= invalidation.leaf == true ? 2 : 0
        flags |= invalidation.asid == nil ? 0 : 4
        flags |= invalidation.vmid == nil ? 0 : 8
        flags |= invalidation.streamIDs == nil ? 0 : 16
        flags |= invalidation.substreamID == nil ? 0 : 32
        let tags = UInt32(invalidation.asid ?? 0) | UInt32(invalidation.vmid ?? 0) << 16
        self.init(.invalidate, detail: scope, flags: flags, extra: tags)
        (words.2, words.3) = (invalidation.addresses?.lowerBound ?? 0, invalidation.addresses?.upperBound ?? .max)
        if let streams = invalidation.streamIDs {
            words.4 = UInt64(streams.lowerBound) | UInt64(streams.upperBound) << 32
        }
        words.5 = UInt64(invalidation.substreamID ?? 0)
    }
}
