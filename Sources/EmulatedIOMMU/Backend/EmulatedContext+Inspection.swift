import IOMMU
import SMMUFacts
import SMMUv3

/// What can be seen of the emulated hardware. Nothing here has a side effect.
extension EmulatedContext {
    /// The first StreamID of a bound device.
    ///
    /// - Throws: `ENOENT` for an unknown id, `ENODEV` once the device has been unplugged.
    package func stream(ofDevice id: ObjectID) throws(IOMMUError) -> StreamName {
        let device = try device(id)
        return StreamName(smmu: device.smmu.name, streamID: device.description.streamIDs.first ?? 0)
    }

    /// Whether the stream belongs to a device that this context has bound.
    ///
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func owns(_ stream: StreamName) throws(IOMMUError) -> Bool {
        owns(stream.streamID, of: try backend.smmu(named: stream.smmu))
    }

    /// Whether this context has bound any device behind that SMMU.
    ///
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func ownsDevice(behind smmu: String) throws(IOMMUError) -> Bool {
        let smmu = try backend.smmu(named: smmu)
        return backend.devices.contains { $0.smmu === smmu && $0.device.boundBy === context }
    }

    private func owns(_ streamID: UInt32, of smmu: EmulatedSMMU) -> Bool {
        backend.device(onSMMU: smmu, streamID: streamID)?.device.boundBy === context
    }

    private func maySee(_ streamID: UInt32, of smmu: EmulatedSMMU, _ scope: InspectionScope) -> Bool {
        switch scope {
        case .everything: true
        case .ownDevices: owns(streamID, of: smmu)
        }
    }

    // MARK: Translations and structures

    /// Where a transaction would go now, through caches and tables as they are (IHI 0070, 3.3); nothing is cached or
    /// recorded for it.
    ///
    /// - Parameter trace: every descriptor that was fetched is a step of the result.
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func translate(
        smmu name: String, _ transaction: TransactionRequest, trace: Bool
    ) throws(IOMMUError) -> TranslationResult {
        let smmu = try backend.smmu(named: name)
        let inspection = smmu.smmu.inspect(Transaction(transaction), trace: trace)
        var result = TranslationResult(
            TranslationOutcome(inspection.translation, at: transaction.address), isCached: inspection.isCached,
            steps: inspection.steps.map { TranslationStep($0) })
        let device = backend.device(onSMMU: smmu, streamID: transaction.streamID)
        switch (inspection.translation, result.outcome) {
        case (.fault(let record, _), .fault(var fault)), (.stalled(_, let record, _), .fault(var fault)),
            (.held(let record), .fault(var fault)):
            fault.cause = backend.cause(of: record, at: transaction.address, from: device)
            result.outcome = .fault(fault)
        case (.terminated(let termination), _):
            result.cause = device.flatMap { FaultCauses(device: $0, pasid: transaction.pasid).of(termination) }
        default: break
        }
        return result
    }

    /// The STE of a stream as it stands in memory (IHI 0070, 5.2): eight words and their fields.
    ///
    /// - Throws: `ENOENT` for an unknown SMMU, or where the stream table has no entry.
    package func streamTableEntry(of stream: StreamName) throws(IOMMUError) -> StructureDescription {
        let smmu = try backend.smmu(named: stream.smmu).smmu
        guard let entry = smmu.lookupSTE(streamID: stream.streamID) else {
            throw IOMMUError(
                .ENOENT, .noSTE, "the stream table of \(stream.smmu) has no entry for StreamID \(stream.streamID)",
                hint: "topology.list lists the StreamIDs of each device",
                ["smmu": .text(stream.smmu), "stream_id": .number(UInt64(stream.streamID))])
        }
        return StructureDescription(entry, of: smmu)
    }

    /// A CD of a stream as it stands in memory (IHI 0070, 5.4): eight words and their fields.
    ///
    /// - Throws: `ENOENT` for an unknown SMMU, or where no table has the descriptor.
    package func contextDescriptor(
        of stream: StreamName, substreamID: UInt32
    ) throws(IOMMUError) -> StructureDescription {
        let smmu = try backend.smmu(named: stream.smmu).smmu
        guard let descriptor = smmu.lookupCD(streamID: stream.streamID, substreamID: substreamID) else {
            throw IOMMUError(
                .ENOENT, .noCD,
                "stream \(stream.streamID) of \(stream.smmu) has no context descriptor \(substreamID)",
                hint: "smmu.ste shows whether the stream has any, and how many",
                [
                    "smmu": .text(stream.smmu), "stream_id": .number(UInt64(stream.streamID)),
                    "substream_id": .number(UInt64(substreamID)),
                ])
        }
        return StructureDescription(descriptor, of: smmu, streamID: stream.streamID)
    }

    /// Every register of the SMMU (IHI 0070, 6.1) by name, with its width in bits.
    ///
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func registers(smmu name: String) throws(IOMMUError) -> [NamedField] {
        let smmu = try backend.smmu(named: name).smmu
        return Register.allCases.map { NamedField($0.name, smmu.value(of: $0), width: $0.width * 8) }
    }

    // MARK: Traces

    /// Commands that the driver has issued (IHI 0070, 4), oldest first.
    ///
    /// - Parameters:
    ///   - sequence: those behind this one; nil: the newest `limit`.
    ///   - scope: of a part of the machine only those that name a stream of it.
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func commands(
        smmu name: String, since sequence: UInt64?, limit: Int, scope: InspectionScope
    ) throws(IOMMUError) -> Trace<CommandDescription> {
        let smmu = try backend.smmu(named: name)
        let queue = smmu.driver.queue
        let found = queue.commands(since: Self.start(sequence, limit, last: queue.issued), limit: limit)
        let seen = found.filter { _, command in
            switch scope {
            case .everything: true
            case .ownDevices: command.namesStream && owns(command.StreamID, of: smmu)
            }
        }
        return Trace(records: seen.map { ($0.sequence, CommandDescription($0.command)) }, last: queue.issued)
    }

    /// Event records that the SMMU has written (IHI 0070, 7.3), oldest first.
    ///
    /// - Parameters:
    ///   - sequence: those behind this one; nil: the newest `limit`.
    ///   - scope: of a part of the machine only those of its streams.
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func events(
        smmu name: String, since sequence: UInt64?, limit: Int, scope: InspectionScope
    ) throws(IOMMUError) -> Trace<FaultDescription> {
        let smmu = try backend.smmu(named: name)
        let last = smmu.driver.recordedEvents
        let found = smmu.driver.events(since: Self.start(sequence, limit, last: last), limit: limit)
        let seen = found.filter { maySee($0.record.StreamID, of: smmu, scope) }
        return Trace(
            records: seen.map { entry in
                var description = FaultDescription(entry.record)
                description.cause = entry.cause
                return (entry.sequence, description)
            }, last: last)
    }

    /// Where to go on so that `limit` records are left of those there are.
    private static func start(_ sequence: UInt64?, _ limit: Int, last: UInt64) -> UInt64 {
        if let sequence { return sequence }
        let limit = UInt64(max(limit, 0))
        return last > limit ? last - limit : 0
    }

    // MARK: Caches

    /// What the SMMU holds in its configuration caches and its TLB (IHI 0070, 3.17): at most `limit` entries of each.
    ///
    /// - Parameter scope: of a part of the machine only its streams, and the address spaces that these use.
    /// - Throws: `ENOENT` for an unknown SMMU.
    package func caches(
        smmu name: String, limit: Int, scope: InspectionScope
    ) throws(IOMMUError) -> CacheDescription {
        let smmu = try backend.smmu(named: name)
        switch scope {
        case .everything: return CacheDescription(smmu.smmu.cacheView(limit: limit))
        case .ownDevices: return ownPart(of: smmu.smmu.cacheView(), smmu, limit: limit)
        }
    }

    /// The streams of this context's devices and the address spaces that those use.
    private func ownPart(of view: CacheView, _ smmu: EmulatedSMMU, limit: Int) -> CacheDescription {
        var seen = CacheDescription(view)
        seen.streamIDs = seen.streamIDs.filter { owns($0, of: smmu) }
        seen.contexts = seen.contexts.filter { owns($0.streamID, of: smmu) }
        let asids = seen.contexts.compactMap {
            smmu.smmu.lookupCD(streamID: $0.streamID, substreamID: $0.index).map { UInt16(truncatingIfNeeded: $0.ASID) }
        }
        let vmids = seen.streamIDs.compactMap { smmu.smmu.lookupSTE(streamID: $0)?.S2VMID }.filter { $0 != 0 }
        let own = seen.translations.filter { entry in
            if let vmid = entry.vmid, vmid != 0 { return vmids.contains { $0 == vmid } }
            return entry.asid.map(asids.contains) ?? false
        }
        seen.translations = Array(own.prefix(limit))
        return seen
    }
}

extension Command {
    /// Whether the command is about one stream, or a range of them.
    fileprivate var namesStream: Bool {
        name != "CMD_CFGI_ALL" && fields.contains { $0.name.description == "StreamID" }
    }
}
