extension SMMU {
    /// What `translate` would answer, without any side effect: nothing is cached, updated, recorded or stalled.
    ///
    /// - Parameters:
    ///   - transaction: what a client device would ask for; ATS requests are answered as ordinary accesses.
    ///   - trace: whether to list the table accesses; then the tables are walked even if the TLB has the answer.
    public func inspect(_ transaction: Transaction, trace: Bool) -> Inspection {
        steps = []
        defer { steps = [] }
        guard registers.isEnabled(CR0.SMMUEN) else {
            return Inspection(translation: translateSpecially(untranslated(transaction)), isCached: false)
        }
        if let context = findContext(transaction) {
            return inspect(transaction, context, trace: trace)
        }
        var context = StreamContext()
        switch resolve(transaction, &context, live: false) {
        case .aborted: return Inspection(translation: .terminated(.steAbort), isCached: false)
        case .failed(let event):
            return Inspection(translation: .fault(event, recorded: wouldRecord(event)), isCached: false)
        case .faulted(let fault):
            return Inspection(
                translation: foretell(fault, transaction, &context), isCached: false, steps: trace ? steps : [])
        case .success:
            // The stage 2 walk for a CD is no part of the walk of the address.
            steps = []
        }
        return inspect(transaction, &context, trace: trace)
    }

    private func inspect(
        _ transaction: Transaction, _ context: UnsafePointer<StreamContext>, trace: Bool
    ) -> Inspection {
        var isCached = false
        do throws(Fault) {
            let request = try request(transaction, context)
            var answer: Output?
            if let entry = findEntry(context, request.address) {
                isCached = true
                let half = TLBAttributes.half(entry.pointee.attributes, privileged: request.privileged)
                if TLBAttributes.serves(half, request.access) {
                    answer = withHints(output(entry, request.address, half), context)
                } else {
                    try refuse(entry.pointee.permissions, context, request)
                    isCached = false
                }
            }
            if let answer {
                if trace {
                    _ = try? lookWalk(context, request)
                }
                return Inspection(translation: .ok(answer), isCached: true, steps: trace ? steps : [])
            }
            let output = try lookWalk(context, request)
            return Inspection(translation: .ok(output), isCached: false, steps: trace ? steps : [])
        } catch {
            return Inspection(
                translation: foretell(error, transaction, context), isCached: isCached, steps: trace ? steps : [])
        }
    }

    private func untranslated(_ transaction: Transaction) -> Transaction {
        var plain = transaction
        plain.addressType = .untranslated
        return plain
    }

    private func foretell(
        _ fault: Fault, _ transaction: Transaction, _ context: UnsafePointer<StreamContext>
    ) -> Translation {
        let event = event(fault, transaction, context)
        guard fault.type != .F_WALK_EABT else {
            return .fault(event, recorded: wouldRecord(event))
        }
        if fault.isStage2 ? context.pointee.stage2Stalls : context.pointee.stalls {
            var stalling = event
            stalling.Stall = true
            return .stalled(STAG: 0, event: stalling, recorded: wouldRecord(stalling))
        }
        let isRecorded = fault.isStage2 ? context.pointee.stage2Records : context.pointee.records
        return .fault(event, recorded: isRecorded && wouldRecord(event))
    }

    private func wouldRecord(_ event: EventRecord) -> Bool {
        if event.type == .C_BAD_STREAMID && registers.CR2 & CR2.RECINVSID == 0 {
            return false
        }
        guard case .writable = eventQueueState else {
            return false
        }
        return true
    }

    /// Notes a table access of a walk that only looks.
    @inline(never)
    func trace(stage: Int, level: Int8, table: UInt64, index: UInt64, descriptor: UInt64) {
        steps.append(
            WalkStep(stage: stage, level: Int(level), table: table, index: index, descriptor: descriptor))
    }

    // MARK: Structures

    /// The STE that a walk of the tables finds now, whatever is cached; nil if there is none.
    public func lookupSTE(streamID: UInt32) -> StreamTableEntry? {
        guard case .at(let address) = locateSTE(streamID) else {
            return nil
        }
        return loadStructure(address).map { StreamTableEntry($0) }
    }

    /// The CD that a walk of the tables finds now, whatever is cached; nil if there is none.
    public func lookupCD(streamID: UInt32, substreamID: UInt32) -> ContextDescriptor? {
        guard let ste = lookupSTE(streamID: streamID), ste.illegalField(features) == nil, ste.translatesStage1 else {
            return nil
        }
        let substreams = features.SSIDSIZE == 0 ? 0 : ste.S1CDMax
        guard UInt64(substreamID) >> substreams == 0 else {
            return nil
        }
        var context = StreamContext()
        context.decode(ste, features)
        context.mode = ste.translatesStage2 ? .nested : .stage1
        defer { steps = [] }
        // The tag of no address space: the stage 2 entries of the TLB are not asked.
        let transaction = Transaction(streamID: streamID, substreamID: substreamID, address: 0, access: .read)
        guard case .found(let cd) = fetchCD(ste, index: substreamID, &context, transaction, live: false) else {
            return nil
        }
        return cd
    }

    /// The field that makes an STE illegal (C_BAD_STE), by its name in IHI 0070; nil if it is legal.
    public func illegalField(of ste: StreamTableEntry) -> String? { ste.illegalField(features)?.description }

    /// The field that makes a CD illegal under its STE (C_BAD_CD), by its name in IHI 0070; nil if it is legal.
    public func illegalField(of cd: ContextDescriptor, ste: StreamTableEntry) -> String? {
        cd.illegalField(ste: ste, world: world(of: ste), features)?.description
    }

    /// The field of an STE or CD, as they lie in memory now, that a configuration error is about; nil for other events,
    /// and if all is well by now.
    public func illegalField(behind event: EventRecord) -> IllegalField? {
        guard event.type == .C_BAD_STE || event.type == .C_BAD_CD, let ste = lookupSTE(streamID: event.StreamID) else {
            return nil
        }
        if event.type == .C_BAD_STE {
            return illegalField(of: ste).map { IllegalField(.STE, $0, among: ste.fields) }
        }
        let cd = lookupCD(streamID: event.StreamID, substreamID: event.substream ?? 0)
        return cd.flatMap { cd in
            illegalField(of: cd, ste: ste).map { IllegalField(.CD, $0, among: cd.fields) }
        }
    }
}

/// What makes a structure in memory illegal.
public struct IllegalField: Equatable, Sendable {
    /// The structures that a configuration error can be about.
    public enum Structure: String, Sendable {
        case STE, CD
    }

    /// Which structure it is in.
    public let structure: Structure
    /// Its name in IHI 0070.
    public let name: String
    /// Its value, right-aligned; nil for what is no field by itself.
    public let value: UInt64?

    init(_ structure: Structure, _ name: String, among fields: [DecodedField]) {
        (self.structure, self.name) = (structure, name)
        value = fields.first { $0.name.description == name }?.value
    }
}
