import IOMMU
import JSONRPC

/// Who may see what of the SMMUs: an administrator all, others what their own devices use.
extension Service {
    func inspectionScope(_ client: Client) -> InspectionScope {
        client.peer.identity.isAdmin ? .everything : .ownDevices
    }

    /// `EPERM` `not_allowed` for a stream that the client may not look at.
    func requireView(
        _ client: Client, of stream: StreamName, _ inspection: any SMMUInspection
    ) throws(IOMMUError) {
        guard try !inspection.owns(stream), !client.peer.identity.isAdmin else { return }
        throw IOMMUError(
            .EPERM, .notAllowed, "stream \(stream.streamID) of \(stream.smmu) belongs to no device of this session",
            hint: "bind its device first, or ask an administrator",
            ["smmu": .text(stream.smmu), "stream_id": .number(UInt64(stream.streamID))])
    }

    /// `EPERM` `not_allowed` for an SMMU behind which the client has nothing.
    func requireView(
        _ client: Client, behind smmu: String, _ inspection: any SMMUInspection
    ) throws(IOMMUError) {
        guard try !inspection.ownsDevice(behind: smmu), !client.peer.identity.isAdmin else { return }
        throw IOMMUError(
            .EPERM, .notAllowed, "no device of this session is behind \(smmu)",
            hint: "bind one of its devices first, or ask an administrator", ["smmu": .text(smmu)])
    }
}
