import IOMMU
import JSONRPC

/// What each kind of the notification `event` says, for `rpc.discover`. It is written by hand, in `Event+Wire.swift`;
/// every event that a test receives is held against these.
package enum EventDeclarations {
    /// Every kind, and that of events that were lost.
    package static let all: [EventKindDeclaration] =
        BackendEvent.Kind.allCases.map { kind in
            EventKindDeclaration(kind.rawValue, summary(kind)) { event in
                declareHead(event)
                declareOrigin(event)
                declareBody(kind, event)
            }
        } + [
            EventKindDeclaration("lost", "The subscriber was too slow: events are missing here.") { event in
                declareHead(event)
                _ = event.result("count", .count, "How many.")
            }
        ]

    private static func summary(_ kind: BackendEvent.Kind) -> String {
        switch kind {
        case .fault: "A page fault waits in a fault queue."
        case .smmuEvent: "An SMMU has recorded an event that no guest takes."
        case .mmExit: "An address space has ended."
        case .bond: "The bond of a device and an address space has changed."
        case .device: "A device came, went, was taken or given back."
        case .session: "A session has ended."
        case .queue: "The state of a queue has changed by itself."
        case .veventq: "A guest's event waits in a queue, or was lost there."
        case .vsmmuEvent: "A bare SMMU has recorded an event."
        case .vsmmuInvalidate: "Translations that the VMM of a bare SMMU keeps may no longer answer."
        case .vsmmuStall: "A transaction waits for the guest."
        case .vsmmuResume: "The guest, or a reset, has decided about a transaction that waited."
        case .vsmmuPageResponse: "The guest has answered a group of page requests."
        case .vsmmuMessage: "A bare SMMU sends an MSI to an address without memory."
        case .vsmmuEventSent: "A bare SMMU sends the guest's CPUs an event, as their SEV instruction does."
        }
    }

    private static func declareHead(_ event: ResultBuilder) {
        _ = event.result("sequence", .count, "Counts by subscription, from 1.")
        _ = event.result("time", .string, "RFC 3339, UTC, microseconds.")
    }

    private static func declareOrigin(_ event: ResultBuilder) {
        _ = event.optionalResult("session", .string, "The named session that it comes from.")
        _ = event.optionalResult("owner_uid", .count, "Whose session that is.")
        _ = event.optionalResult("connection", .count, "The connection whose private session it comes from.")
    }

    private static func declareBody(_ kind: BackendEvent.Kind, _ event: ResultBuilder) {
        switch kind {
        case .fault: declareFault(event)
        case .smmuEvent:
            _ = event.result("smmu", .string, "The SMMU.")
            declareName(event, isOptional: true)
            declareRecord(event)
        case .mmExit: _ = event.result("mm", .count, "The address space.")
        case .bond: declareBond(event)
        case .device:
            let actions = DeviceEvent.Action.allCases.map(\.rawValue)
            _ = event.result("action", .choice(actions), "What became of it.")
            declareName(event)
        case .session: _ = event.result("change", .choice(["closed"]), "What became of it.")
        case .queue: declareQueue(event)
        case .veventq:
            _ = event.result("veventq", .count, "The queue.")
            _ = event.result("viommu", .count, "Whose guest it is for.")
            declareName(event)
            _ = event.result("lost", .count, "1: the queue had no room.")
        case .vsmmuEvent:
            declareVSMMU(event)
            declareRecord(event)
        case .vsmmuInvalidate: declareInvalidation(event)
        case .vsmmuStall: declareStall(event)
        case .vsmmuResume: declareResume(event)
        case .vsmmuPageResponse: declarePageResponse(event)
        case .vsmmuMessage: declareMessage(event)
        case .vsmmuEventSent: declareVSMMU(event)
        }
    }

    private static func declareName(_ event: ResultBuilder, isOptional: Bool = false) {
        _ =
            isOptional
            ? event.optionalResult("name", .string, "The device; absent: nobody's stream.")
            : event.result("name", .string, "The device.")
    }

    private static func declareFault(_ event: ResultBuilder) {
        _ = event.result("fault", .count, "The fault queue.")
        _ = event.result("device", .count, "The device's id.")
        declareName(event)
        _ = event.result("addr", .hex, "The faulting address.")
        _ = event.optionalResult("pasid", .count, "Of the access, where it had one.")
    }

    private static func declareBond(_ event: ResultBuilder) {
        _ = event.result("bond", .count, "The bond.")
        _ = event.optionalResult("device", .count, "The device's id; absent once the session has unbound it.")
        declareName(event)
        _ = event.result("mm", .count, "The address space.")
        _ = event.result("pasid", .count, "Its PASID.")
        _ = event.result("state", .string, "live, quiesced or gone.")
    }

    private static func declareQueue(_ event: ResultBuilder) {
        _ = event.result("queue", .count, "The queue.")
        declareName(event)
        _ = event.result("mm", .count, "The address space.")
        _ = event.result("state", .string, "The state that it is in now.")
        _ = event.result("reason", .string, "Why.")
    }

    /// The members of a `FaultDescription`.
    private static func declareRecord(_ event: ResultBuilder) {
        _ = event.result("type", .string, "The event by its name in IHI 0070, such as F_TRANSLATION.")
        _ = event.result("stream_id", .count, "The stream that it comes from.")
        _ = event.optionalResult("substream_id", .count, "The PASID of the access, where it had one.")
        _ = event.optionalResult("address", .hex, "The first failing byte.")
        _ = event.optionalResult("access", .choice(["read", "write", "execute"]), "What the device wanted.")
        _ = event.optionalResult("privileged", .bool, "Whether the access was privileged.")
        _ = event.optionalResult("stage", .count, "The stage that failed, 1 or 2.")
        _ = event.optionalResult("class", .string, "What the access was for: CD, TTD or IN.")
        _ = event.optionalResult("ipa", .hex, "The frame that failed at stage 2.")
        _ = event.optionalResult(
            "field", .string, "Of C_BAD_STE and C_BAD_CD the field that is wrong, where it is known.")
        _ = event.optionalResult("field_value", .hex, "The value of that field.")
        _ = event.optionalResult("stag", .count, "The tag under which the access waits.")
        _ = event.optionalResult("recorded", .bool, "Whether the event queue took the record.")
        _ = event.optionalResult("record", .array(of: .hex), "The four words of the record.")
        _ = event.optionalResult("aborted", .bool, "Whether the device saw an abort.")
        _ = event.optionalResult("meaning", .string, "What lay behind it when it happened, where that is known.")
        _ = event.optionalResult("hint", .string, "With `meaning`: what to do.")
    }
}
