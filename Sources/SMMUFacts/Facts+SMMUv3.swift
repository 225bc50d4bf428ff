import IOMMU
import SMMUv3

/// What the model of the architecture says, in the plain facts that cross the waist.
///
/// What is made for each of thousands of transactions is public: only public code is inlined in other modules.
extension FaultDescription {
    /// - Parameter address: the first failing byte of the access; nil: InputAddr, where the record has one.
    package init(_ record: EventRecord, address: UInt64? = nil) {
        let isTranslationFault = record.type?.isTranslationFault == true
        self.init(
            type: record.type?.name ?? "EVENT_\(record.number)", streamID: record.StreamID,
            substreamID: record.substream, address: address ?? (isTranslationFault ? record.InputAddr : nil),
            access: isTranslationFault ? Access(record) : nil,
            stallTag: isTranslationFault && record.Stall ? record.STAG : nil,
            record: record.words)
    }
}

extension FaultDescription {
    /// Names the field that a configuration error is about, as the structures stand in memory now.
    package mutating func nameIllegalField(behind record: EventRecord, of smmu: SMMU<some PhysicalMemory>) {
        guard let illegal = smmu.illegalField(behind: record) else { return }
        (field, fieldValue) = (illegal.name, illegal.value)
        cause = cause ?? .illegalField(structure: illegal.structure.rawValue, illegal.name, illegal.value)
    }
}

extension FaultDescription.Access {
    fileprivate init(_ record: EventRecord) {
        let purpose =
            switch EventClass(rawValue: record.CLASS) {
            case .CD: "CD"
            case .TTD: "TTD"
            case .IN: "IN"
            case nil: "reserved"
            }
        self.init(
            kind: record.InD ? .execute : record.RnW ? .read : .write, privileged: record.PnU,
            stage: record.S2 ? 2 : 1, purpose: purpose, ipa: record.S2 ? record.IPA : nil)
    }
}

extension Transaction {
    /// What a client asks for, as the model takes it.
    @inlinable
    public init(_ request: TransactionRequest) {
        let access: SMMUv3.Access =
            switch request.access {
            case .read: .read
            case .write: .write
            case .execute: .execute
            }
        let type: AddressType =
            switch request.kind {
            case .untranslated: .untranslated
            case .translationRequest: .translationRequest
            case .translated: .translated
            }
        self.init(
            streamID: request.streamID, substreamID: request.pasid, address: request.address, access: access,
            privileged: request.privileged, addressType: type)
    }
}

extension TranslationOutcome {
    /// - Parameter address: the first failing byte of the access.
    package init(_ translation: Translation, at address: UInt64) {
        switch translation {
        case .ok(let output): self = .translated(TranslationOutput(output))
        case .fault(let record, _), .stalled(_, let record, _), .held(let record):
            self = .fault(FaultDescription(record, address: address))
        case .terminated(let reason): self = .terminated(reason.rawValue)
        }
    }
}

extension TranslationOutput {
    /// Where an access goes.
    @inlinable
    public init(_ output: Output) {
        self.init(
            address: output.address, pageSize: output.pageSize,
            attributes: TranslationAttributes(output.attributes))
    }
}

extension TranslationAttributes {
    /// What an access finds there.
    @inlinable
    public init(_ attributes: OutputAttributes) {
        self.init(
            memory: attributes.memoryAttributes, shareability: attributes.shareability,
            isReadable: attributes.isReadable, isWritable: attributes.isWritable,
            isExecutable: attributes.isExecutable)
    }
}

extension TranslationStep {
    /// One descriptor of a walk.
    package init(_ step: WalkStep) {
        self.init(
            stage: step.stage, level: step.level, table: step.table, index: step.index, descriptor: step.descriptor)
    }
}

extension NamedField {
    /// A field with its name in IHI 0070.
    package init(_ field: DecodedField) { self.init(field.name.description, field.value, width: field.width) }
}

extension CommandDescription {
    /// A command with its fields and words.
    package init(_ command: Command) {
        self.init(name: command.name, fields: command.fields.map { NamedField($0) }, words: command.words)
    }
}

extension CacheDescription {
    /// What the caches hold.
    package init(_ view: CacheView) {
        self.init(
            tlb: Figures(view.tlb), streamTable: Figures(view.streamTable),
            contextDescriptors: Figures(view.contextDescriptors), translations: view.translations.map { Entry($0) },
            streamIDs: view.streamIDs, contexts: view.contexts)
    }
}

extension CacheDescription.Figures {
    fileprivate init(_ statistics: CacheStatistics) {
        self.init(
            hits: statistics.hits, misses: statistics.misses, evictions: statistics.evictions,
            invalidations: statistics.invalidations)
    }
}

extension CacheDescription.Entry {
    fileprivate init(_ entry: CacheView.Entry) {
        self.init(
            stage: entry.stage, vmid: entry.vmid, asid: entry.asid, input: entry.input, output: entry.output,
            size: entry.size, attributes: TranslationAttributes(entry.unprivileged),
            isWritableClean: entry.isWritableClean)
    }
}

extension StructureDescription {
    /// An STE as it lies in memory.
    package init(_ entry: StreamTableEntry, of smmu: SMMU<some PhysicalMemory>) {
        self.init(
            words: entry.words, fields: entry.fields.map { NamedField($0) }, illegalField: smmu.illegalField(of: entry))
    }

    /// A CD as it lies in memory, under the STE of its stream.
    package init(_ descriptor: ContextDescriptor, of smmu: SMMU<some PhysicalMemory>, streamID: UInt32) {
        let entry = smmu.lookupSTE(streamID: streamID)
        self.init(
            words: descriptor.words, fields: descriptor.fields.map { NamedField($0) },
            illegalField: entry.flatMap { smmu.illegalField(of: descriptor, ste: $0) })
    }
}
