import IOMMU
import JSONRPC

/// What the VMM of a bare SMMU is told.
extension EventDeclarations {
    static func declareInvalidation(_ event: ResultBuilder) {
        declareVSMMU(event)
        let scopes = BareInvalidation.Scope.allCases.map(\.rawValue)
        _ = event.result("scope", .choice(scopes), "What kind of set no longer answers.")
        _ = event.optionalResult("asid", .count, "Absent: of any, or global.")
        _ = event.optionalResult("vmid", .count, "Absent: of any, or EL2's.")
        _ = event.optionalResult("start", .hex, "First byte.")
        _ = event.optionalResult("last", .hex, "Last byte.")
        _ = event.optionalResult("stream_id", .count, "The one stream.")
        _ = event.optionalResult("first_stream_id", .count, "The first of several.")
        _ = event.optionalResult("last_stream_id", .count, "The last of several.")
        _ = event.optionalResult("substream_id", .count, "Absent: whatever the substream, and without one.")
        _ = event.optionalResult("leaf", .bool, "What the last level says has changed, and nothing above.")
        _ = event.result("ats", .bool, "It is for what devices with ATS keep.")
    }

    static func declareStall(_ event: ResultBuilder) {
        declareWaiting(event)
        _ = event.result("tag", .count, "STAG of the record.")
    }

    static func declareResume(_ event: ResultBuilder) {
        declareWaiting(event)
        let actions = BareStallAction.allCases.map(\.rawValue)
        _ = event.result("action", .choice(actions), "What becomes of it.")
    }

    private static func declareWaiting(_ event: ResultBuilder) {
        declareVSMMU(event)
        _ = event.result("stall", .count, "The transaction.")
        _ = event.result("stream_id", .count, "Its stream.")
    }

    static func declarePageResponse(_ event: ResultBuilder) {
        declareVSMMU(event)
        _ = event.result("stream_id", .count, "The device that asked.")
        _ = event.optionalResult("substream_id", .count, "The PASID that it asked for.")
        _ = event.result("group", .count, "The page request group.")
        _ = event.result("code", .choice(["success", "invalid", "failure"]), "The answer.")
    }

    static func declareMessage(_ event: ResultBuilder) {
        declareVSMMU(event)
        _ = event.result("address", .hex, "Where it goes; no memory is behind that.")
        _ = event.result("data", .hex, "What is written.")
    }

    static func declareVSMMU(_ event: ResultBuilder) { _ = event.result("vsmmu", .count, "The bare SMMU.") }
}
