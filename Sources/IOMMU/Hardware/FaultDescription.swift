/// An event of an SMMU in the terms of the contract: `event` of a refused access or a translation, and what
/// `smmu.events` and notifications tell.
public struct FaultDescription: Sendable, Equatable {
    /// The access that failed to translate.
    public struct Access: Sendable, Equatable {
        /// What the device wanted.
        public var kind: AccessKind
        /// Whether it was privileged.
        public var privileged: Bool
        /// The stage that failed, 1 or 2.
        public var stage: Int
        /// CLASS, what the access was for: "CD", "TTD", "IN" or "reserved".
        public var purpose: String
        /// The byte address of the 4 KiB frame that failed at stage 2.
        public var ipa: UInt64?

        /// - Parameters:
        ///   - kind: what the device wanted.
        ///   - privileged: whether it was privileged.
        ///   - stage: 1 or 2.
        ///   - purpose: CLASS by its name.
        ///   - ipa: of stage 2.
        public init(kind: AccessKind, privileged: Bool, stage: Int, purpose: String, ipa: UInt64?) {
            self.kind = kind
            self.privileged = privileged
            self.stage = stage
            self.purpose = purpose
            self.ipa = ipa
        }
    }

    /// The event by its name in IHI 0070, such as "F_TRANSLATION"; "EVENT_n" for a number it does not know.
    public var type: String
    /// The stream it comes from.
    public var streamID: UInt32
    /// The PASID of the access, where it had one.
    public var substreamID: UInt32?
    /// The first failing byte; nil where the event has none.
    public var address: UInt64?
    /// Of translation faults only.
    public var access: Access?
    /// The tag under which the access waits; nil: it has ended.
    public var stallTag: UInt16?
    /// Of C_BAD_STE and C_BAD_CD the field that is wrong, where it is known.
    public var field: String?
    /// The value of that field.
    public var fieldValue: UInt64?
    /// The four words of the record.
    public var record: [UInt64]
    /// Whether the event queue took the record; nil: it is not told.
    public var isRecorded: Bool?
    /// Whether the device saw an abort, else it read zero or its write was ignored; nil: it waits, or it is not told.
    public var isAborted: Bool?
    /// What lies behind it, where that is known.
    public var cause: FaultCause?

    /// - Parameters:
    ///   - type: the event's name.
    ///   - streamID: the stream.
    ///   - substreamID: its PASID.
    ///   - address: the first failing byte.
    ///   - access: of translation faults.
    ///   - stallTag: of what waits.
    ///   - record: the four words.
    public init(
        type: String, streamID: UInt32, substreamID: UInt32?, address: UInt64?, access: Access?, stallTag: UInt16?,
        record: [UInt64]
    ) {
        self.type = type
        self.streamID = streamID
        self.substreamID = substreamID
        self.address = address
        self.access = access
        self.stallTag = stallTag
        self.record = record
    }
}

extension FaultDescription {
    /// The members of `event`, in order. What the owner of a bare SMMU is told has a record only if the queue has.
    package var members: [IOMMUError.Member] {
        var members: [IOMMUError.Member] = [.init("type", .text(type)), .init("stream_id", .number(UInt64(streamID)))]
        if let substreamID { members.append(.init("substream_id", .number(UInt64(substreamID)))) }
        if let address { members.append(.init("address", .hex(address))) }
        if let access {
            members.append(.init("access", .text(access.kind.name)))
            members.append(.init("privileged", .flag(access.privileged)))
            members.append(.init("stage", .number(UInt64(access.stage))))
            members.append(.init("class", .text(access.purpose)))
            if let ipa = access.ipa { members.append(.init("ipa", .hex(ipa))) }
        }
        if let field { members.append(.init("field", .text(field))) }
        if let fieldValue { members.append(.init("field_value", .hex(fieldValue))) }
        if let stallTag { members.append(.init("stag", .number(UInt64(stallTag)))) }
        if let isRecorded { members.append(.init("recorded", .flag(isRecorded))) }
        if isRecorded != false { members.append(.init("record", .words(record))) }
        if let isAborted { members.append(.init("aborted", .flag(isAborted))) }
        if let cause {
            members.append(.init("meaning", .text(cause.meaning)))
            members.append(.init("hint", .text(cause.hint)))
        }
        return members
    }

    /// The refusal of the access that caused it: `EFAULT`, the reason is the event's name.
    package var error: IOMMUError {
        let place = address.map { " at " + hexadecimal($0) } ?? ""
        let meaning = cause.map { ": " + $0.meaning } ?? ""
        return IOMMUError(
            .EFAULT, .event(type), "the SMMU ended the access\(place) with \(type)\(meaning)",
            hint: cause?.hint ?? "smmu.translate with trace shows the walk",
            ["event": .object(members)]
        ).with(cause?.members ?? [])
    }
}
