import Glibc
import IOMMU
import JSONRPC

/// `smmu` or `vsmmu`: which SMMU a call looks into.
struct SMMUParameters {
    let smmu: Param<String?>
    let vsmmu: Param<UInt32?>

    init(_ method: MethodBuilder) {
        smmu = method.optional("smmu", .string(maximumBytes: 64), "The SMMU.")
        vsmmu = method.optional("vsmmu", .id, "Instead: a bare SMMU of this session.")
        method.needs(.smmuInspection)
        method.needs(.bareSMMUs)
        method.refuses(.smmuName, .unknownVSMMU)
        method.refusesParameters("invalid_params", "Not exactly one of `smmu` and `vsmmu` is given.")
    }

    /// What looks into it, and what it is called there.
    func target(_ call: Call, _ service: Service) throws -> (inspection: any SMMUInspection, smmu: String) {
        if let id = call[vsmmu] {
            guard call[smmu] == nil else { throw StreamParameters.mistake("vsmmu", "is given together with smmu") }
            return (try service.bareSMMUs(call).inspection(of: id), "")
        }
        let inspection = try service.smmuInspection(try service.client(call))
        guard let name = call[smmu] else {
            throw StreamParameters.mistake("smmu", "is missing, and so is vsmmu", remedy: "give smmu or vsmmu")
        }
        return (inspection, name)
    }

    /// As ``target(_:_:)``, of an SMMU behind which the client has a device, or that is its own.
    func visibleTarget(_ call: Call, _ service: Service) throws -> (inspection: any SMMUInspection, smmu: String) {
        let found = try target(call, service)
        try service.requireView(try service.client(call), behind: found.smmu, found.inspection)
        return found
    }
}

/// `smmu` and `stream_id`, `vsmmu` and `stream_id`, or `device`: which stream of which SMMU a call is about.
struct StreamParameters {
    let smmu: Param<String?>
    let vsmmu: Param<UInt32?>
    let streamID: Param<UInt32?>
    let device: Param<UInt32?>

    init(_ method: MethodBuilder) {
        smmu = method.optional("smmu", .string(maximumBytes: 64), "The SMMU, with `stream_id`.")
        vsmmu = method.optional("vsmmu", .id, "Instead: a bare SMMU of this session, with `stream_id`.")
        streamID = method.optional("stream_id", .count(), "A StreamID of it.")
        device = method.optional("device", .id, "Instead: a device of this session.")
        method.needs(.smmuInspection)
        method.needs(.bareSMMUs)
        method.refuses(.device, .smmuName, .unknownVSMMU)
        method.refuses(.EPERM, .notAllowed, "The stream belongs to no device of this session.")
        method.refusesParameters(
            "invalid_params", "Neither `device` alone is given nor `stream_id` with one of `smmu` and `vsmmu`.")
    }

    /// The stream that the call names, if its client may look at it.
    func stream(
        _ call: Call, _ service: Service
    ) throws -> (inspection: any SMMUInspection, stream: StreamName) {
        if let id = call[vsmmu] {
            guard call[smmu] == nil, call[device] == nil else {
                throw Self.mistake("vsmmu", "is given together with smmu or device")
            }
            guard let streamID = call[streamID] else { throw Self.noStream("vsmmu") }
            return (try service.bareSMMUs(call).inspection(of: id), StreamName(smmu: "", streamID: streamID))
        }
        let client = try service.client(call)
        let inspection = try service.smmuInspection(client)
        if let id = call[device] {
            guard call[smmu] == nil, call[streamID] == nil else {
                throw Self.mistake("device", "is given together with smmu or stream_id")
            }
            return (inspection, try inspection.stream(ofDevice: id))
        }
        guard let name = call[smmu] else { throw Self.mistake("smmu", "is missing, and so are vsmmu and device") }
        guard let streamID = call[streamID] else { throw Self.noStream("smmu") }
        let stream = StreamName(smmu: name, streamID: streamID)
        try service.requireView(client, of: stream, inspection)
        return (inspection, stream)
    }

    private static func noStream(_ parameter: String) -> RPCError {
        mistake("stream_id", "is missing, and \(parameter) needs it")
    }

    static func mistake(
        _ parameter: String, _ what: String, remedy: String = "give stream_id with smmu or vsmmu, or device"
    ) -> RPCError {
        RPCError(
            code: RPCError.invalidParams, errno: EINVAL, reason: "invalid_params",
            message: "parameter “\(parameter)” \(what)", hint: remedy
        ).with("parameter", .string(parameter))
    }
}
