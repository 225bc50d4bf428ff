import IOMMU
import SMMUv3

/// What can be seen of the emulated hardware. Nothing here has a side effect; who may see what is the caller's rule.
extension EmulatedBackend {
    /// What a transaction would meet now: it records nothing, fills no cache, never stalls.
    package func translate(
        smmu name: String, streamID: UInt32, pasid: UInt32?, iova: UInt64, access: AccessKind, privileged: Bool,
        trace: Bool
    ) throws(IOMMUError) -> Inspection {
        let kind: SMMUv3.Access =
            switch access {
            case .read: .read
            case .write: .write
            case .execute: .execute
            }
        let transaction = Transaction(
            streamID: streamID, substreamID: pasid, address: iova, access: kind, privileged: privileged)
        return try smmu(named: name).smmu.inspect(transaction, trace: trace)
    }

    /// The stream that a device's accesses carry first.
    package func stream(of device: EmulatedDevice) -> (smmu: String, streamID: UInt32) {
        (device.smmu.name, device.description.streamIDs.first ?? 0)
    }

    /// `ENOENT` for a stream that the stream table does not reach.
    package func ste(smmu name: String, streamID: UInt32) throws(IOMMUError) -> StreamTableEntry {
        guard let entry = try smmu(named: name).smmu.lookupSTE(streamID: streamID) else {
            throw IOMMUError(
                .ENOENT, "no_ste", "the stream table of \(name) has no entry for StreamID \(streamID)",
                ["smmu": .text(name), "stream_id": .number(UInt64(streamID))])
        }
        return entry
    }

    /// `ENOENT` for a CD that does not exist.
    package func cd(smmu name: String, streamID: UInt32, substreamID: UInt32) throws(IOMMUError) -> ContextDescriptor {
        guard let descriptor = try smmu(named: name).smmu.lookupCD(streamID: streamID, substreamID: substreamID) else {
            throw IOMMUError(
                .ENOENT, "no_cd", "stream \(streamID) of \(name) has no context descriptor \(substreamID)",
                [
                    "smmu": .text(name), "stream_id": .number(UInt64(streamID)),
                    "substream_id": .number(UInt64(substreamID)),
                ])
        }
        return descriptor
    }
}
