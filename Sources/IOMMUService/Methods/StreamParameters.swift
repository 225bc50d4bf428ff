import Glibc
import IOMMU
import JSONRPC

/// `smmu` and `stream_id`, or `device`: which stream of which SMMU a call is about.
struct StreamParameters {
    let smmu: Param<String?>
    let streamID: Param<UInt32?>
    let device: Param<UInt32?>

    init(_ method: MethodBuilder) {
        smmu = method.optional("smmu", .string(maximumBytes: 64), "The SMMU, with `stream_id`.")
        streamID = method.optional("stream_id", .count(), "A StreamID of it.")
        device = method.optional("device", .id, "Instead: a device of this session.")
        method.needs(.smmuInspection)
        method.refuses(.device, .smmuName)
        method.refuses(.EPERM, .notAllowed, "The stream belongs to no device of this session.")
        method.refusesParameters("invalid_params", "Neither `device` alone is given nor both `smmu` and `stream_id`.")
    }

    /// The stream that the call names, if its client may look at it.
    func stream(
        _ call: Call, _ service: Service
    ) throws -> (inspection: any SMMUInspection, stream: StreamName) {
        let client = try service.client(call)
        let inspection = try service.smmuInspection(client)
        if let id = call[device] {
            guard call[smmu] == nil, call[streamID] == nil else {
                throw Self.mistake("device", "is given together with smmu or stream_id")
            }
            return (inspection, try inspection.stream(ofDevice: id))
        }
        guard let name = call[smmu] else { throw Self.mistake("smmu", "is missing, and so is device") }
        guard let streamID = call[streamID] else { throw Self.mistake("stream_id", "is missing, and smmu needs it") }
        let stream = StreamName(smmu: name, streamID: streamID)
        try service.requireView(client, of: stream, inspection)
        return (inspection, stream)
    }

    private static func mistake(_ parameter: String, _ what: String) -> RPCError {
        RPCError(
            code: RPCError.invalidParams, errno: EINVAL, reason: "invalid_params",
            message: "parameter “\(parameter)” \(what)", hint: "give smmu and stream_id, or device"
        ).with("parameter", .string(parameter))
    }
}
