/// ``Capability/smmuInspection``: looking into the SMMUs without side effects.
///
/// A context answers for what its own devices use; ``InspectionScope`` says whether that is all that may be seen.
package protocol SMMUInspection: AnyObject {
    /// The stream that a bound device's accesses carry first. `ENOENT`; `ENODEV` once it is unplugged.
    func stream(ofDevice device: ObjectID) throws(IOMMUError) -> StreamName
    /// Whether a device of this context has the stream; `ENOENT` for an unknown SMMU.
    func owns(_ stream: StreamName) throws(IOMMUError) -> Bool
    /// Whether a device of this context is behind the SMMU; `ENOENT` for an unknown one.
    func ownsDevice(behind smmu: String) throws(IOMMUError) -> Bool

    /// `smmu.translate`: what a transaction would meet now; it records nothing, fills no cache, never stalls.
    ///
    /// - Parameter trace: whether the walk is wanted.
    /// - Throws: `ENOENT` for an unknown SMMU.
    func translate(
        smmu: String, _ transaction: TransactionRequest, trace: Bool
    ) throws(IOMMUError) -> TranslationResult
    /// `smmu.ste`. `ENOENT` for an unknown SMMU, or a stream that the stream table does not reach.
    func streamTableEntry(of stream: StreamName) throws(IOMMUError) -> StructureDescription
    /// `smmu.cd`. `ENOENT` for an unknown SMMU or a context descriptor that does not exist.
    func contextDescriptor(of stream: StreamName, substreamID: UInt32) throws(IOMMUError) -> StructureDescription
    /// `smmu.registers`: name and value of each, in order of their offsets. `ENOENT` for an unknown SMMU.
    func registers(smmu: String) throws(IOMMUError) -> [NamedField]

    /// `smmu.commands`: those issued after a sequence number, at most `limit`, oldest first, as far as they are kept.
    ///
    /// - Parameter sequence: nil: the last `limit`.
    /// - Throws: `ENOENT` for an unknown SMMU.
    func commands(
        smmu: String, since sequence: UInt64?, limit: Int, scope: InspectionScope
    ) throws(IOMMUError) -> Trace<CommandDescription>
    /// `smmu.events`: as ``commands(smmu:since:limit:scope:)``, of the events that were recorded.
    func events(
        smmu: String, since sequence: UInt64?, limit: Int, scope: InspectionScope
    ) throws(IOMMUError) -> Trace<FaultDescription>
    /// `smmu.cache`: at most `limit` translations. `ENOENT` for an unknown SMMU.
    func caches(smmu: String, limit: Int, scope: InspectionScope) throws(IOMMUError) -> CacheDescription
}

/// How much of the hardware may be seen.
package enum InspectionScope: Sendable {
    case everything
    /// The streams of the context's own devices, and what those use.
    case ownDevices
}

/// One stream of one SMMU.
package struct StreamName: Sendable, Hashable {
    /// The SMMU's name.
    package var smmu: String
    /// The stream.
    package var streamID: UInt32

    /// With these properties.
    package init(smmu: String, streamID: UInt32) {
        self.smmu = smmu
        self.streamID = streamID
    }
}

/// Records with sequence numbers that count from 1.
package struct Trace<Record: Sendable>: Sendable {
    /// Oldest first.
    package var records: [(sequence: UInt64, record: Record)]
    /// The number of the newest record that there ever was, seen or not.
    package var last: UInt64

    /// With these properties.
    package init(records: [(sequence: UInt64, record: Record)], last: UInt64) {
        self.records = records
        self.last = last
    }
}
