import IOMMU
import SMMUFacts
import SMMUv3

/// Looking into a bare SMMU: all of it is its owner's, whatever the scope.
package final class BareInspection: SMMUInspection {
    private let smmu: SMMU<GuestMemory>
    /// As messages name it.
    private let name: String

    init(_ vsmmu: VirtualSMMU) {
        smmu = vsmmu.smmu
        name = "bare SMMU \(vsmmu.id)"
    }

    /// It has no device objects. - Throws: `ENOENT`
    package func stream(ofDevice device: ObjectID) throws(IOMMUError) -> StreamName {
        throw .unknown(.unknownDevice, "device", device, key: "device")
    }

    /// All of its streams are its owner's.
    package func owns(_ stream: StreamName) -> Bool { true }
    /// Its devices are the owner's.
    package func ownsDevice(behind smmu: String) -> Bool { true }

    /// What a transaction would meet; of a configuration error, which field it is about.
    package func translate(smmu _: String, _ transaction: TransactionRequest, trace: Bool) -> TranslationResult {
        let inspection = smmu.inspect(Transaction(transaction), trace: trace)
        var outcome = TranslationOutcome(inspection.translation, at: transaction.address)
        if case .fault(var fault) = outcome, let record = inspection.translation.record {
            fault.nameIllegalField(behind: record, of: smmu)
            outcome = .fault(fault)
        }
        return TranslationResult(
            outcome, isCached: inspection.isCached, steps: inspection.steps.map { TranslationStep($0) })
    }

    /// The STE of a stream as it lies in memory (IHI 0070, 5.2). - Throws: `ENOENT` where the table has none.
    package func streamTableEntry(of stream: StreamName) throws(IOMMUError) -> StructureDescription {
        guard let entry = smmu.lookupSTE(streamID: stream.streamID) else {
            throw IOMMUError(
                .ENOENT, .noSTE, "the stream table of \(name) has no entry for StreamID \(stream.streamID)",
                hint: "smmu.registers has STRTAB_BASE and STRTAB_BASE_CFG, which say where it is and how long",
                ["stream_id": .number(UInt64(stream.streamID))])
        }
        return StructureDescription(entry, of: smmu)
    }

    /// A CD of a stream as it lies in memory (IHI 0070, 5.4). - Throws: `ENOENT` where no table has it.
    package func contextDescriptor(
        of stream: StreamName, substreamID: UInt32
    ) throws(IOMMUError) -> StructureDescription {
        guard let descriptor = smmu.lookupCD(streamID: stream.streamID, substreamID: substreamID) else {
            throw IOMMUError(
                .ENOENT, .noCD, "stream \(stream.streamID) of \(name) has no context descriptor \(substreamID)",
                hint: "smmu.ste shows whether the stream has any, and how many",
                ["stream_id": .number(UInt64(stream.streamID)), "substream_id": .number(UInt64(substreamID))])
        }
        return StructureDescription(descriptor, of: smmu, streamID: stream.streamID)
    }

    /// Every register by name (IHI 0070, 6.1).
    package func registers(smmu _: String) -> [NamedField] {
        Register.allCases.map { NamedField($0.name, smmu.value(of: $0), width: $0.width * 8) }
    }

    /// Commands that the SMMU has consumed or refused (IHI 0070, 4).
    package func commands(
        smmu _: String, since sequence: UInt64?, limit: Int, scope: InspectionScope
    ) -> Trace<CommandDescription> {
        Self.trace(smmu.commands, since: sequence, limit: limit) { CommandDescription($0) }
    }

    /// Records that the SMMU has written (IHI 0070, 7.3).
    package func events(
        smmu _: String, since sequence: UInt64?, limit: Int, scope: InspectionScope
    ) -> Trace<FaultDescription> {
        Self.trace(smmu.events, since: sequence, limit: limit) { FaultDescription($0) }
    }

    private static func trace<Record: Sendable, Description: Sendable>(
        _ ring: TraceRing<Record>, since sequence: UInt64?, limit: Int, describe: (Record) -> Description
    ) -> Trace<Description> {
        let last = ring.next - 1
        let start = sequence ?? (last > UInt64(limit) ? last - UInt64(limit) : 0)
        guard start < last else { return Trace(records: [], last: last) }
        let found = ring.records(since: start + 1, limit: limit)
        return Trace(records: found.map { ($0.sequence, describe($0.record)) }, last: last)
    }

    /// What its TLB and configuration cache hold: at most `limit` translations.
    package func caches(smmu _: String, limit: Int, scope: InspectionScope) -> CacheDescription {
        CacheDescription(smmu.cacheView(limit: limit))
    }
}

extension Translation {
    /// Of the event that ended it.
    fileprivate var record: EventRecord? {
        switch self {
        case .fault(let record, _), .stalled(_, let record, _), .held(let record): record
        case .ok, .terminated: nil
        }
    }
}
