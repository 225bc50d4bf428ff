import EmulatedIOMMU
import IOMMU
import JSONRPC

/// What only the emulated backend can do; the others answer EOPNOTSUPP.
extension Service {
    /// `EOPNOTSUPP` `not_emulated` on another backend.
    func emulatedBackend() throws(IOMMUError) -> EmulatedBackend {
        guard let emulated else { throw Self.notEmulated }
        return emulated
    }

    /// The caller's context on the emulated backend.
    func emulatedContext(_ call: Call) throws(IOMMUError) -> EmulatedContext {
        guard let context = try client(call).session.context as? EmulatedContext else { throw Self.notEmulated }
        return context
    }

    private static var notEmulated: IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, "not_emulated", "only the emulated backend can do that",
            hint: "start iommud with backend.type = \"emulated\"")
    }

    // MARK: Who may see which stream

    /// Whether the client may look at the stream: its own devices' ones, all for an administrator.
    func maySee(_ client: Client, _ smmu: EmulatedSMMU, streamID: UInt32) -> Bool {
        if client.peer.identity.isAdmin { return true }
        return emulated?.device(onSMMU: smmu, streamID: streamID)?.boundBy === client.session.context
    }

    /// `EPERM` `not_allowed` for a stream that the client may not look at.
    func requireView(_ client: Client, _ smmu: EmulatedSMMU, streamID: UInt32) throws(IOMMUError) {
        guard !maySee(client, smmu, streamID: streamID) else { return }
        throw IOMMUError(
            .EPERM, "not_allowed", "stream \(streamID) of \(smmu.name) belongs to no device of this session",
            hint: "bind its device first, or ask an administrator",
            ["smmu": .text(smmu.name), "stream_id": .number(UInt64(streamID))])
    }
}
