extension SMMU {
    /// What a transaction meets before any address is translated.
    enum Resolution {
        case context(UnsafeMutablePointer<StreamContext>)
        case failed(EventRecord)
        case faulted(Fault, StreamContext)
        case aborted
    }

    /// The decoded configuration of a transaction, if it is at hand.
    @inline(__always)
    func contextSlot(_ transaction: Transaction) -> UnsafeMutablePointer<StreamContext> {
        let index = transaction.streamID &+ (transaction.substreamID ?? 0) &* 7
        return contexts + Int(truncatingIfNeeded: index & UInt32(truncatingIfNeeded: Self.contextCount &- 1))
    }

    /// The decoded configuration of a transaction with current tags, if STE and CD need not be looked at.
    func findContext(_ transaction: Transaction) -> UnsafeMutablePointer<StreamContext>? {
        let context = contextSlot(transaction)
        // Contexts are made while the SMMU is enabled only, and a change of that makes them void.
        guard context.pointee.epoch == configurationEpoch, context.pointee.generation != 0,
            context.pointee.serves(transaction, generation: context.pointee.generation)
        else {
            return nil
        }
        if context.pointee.generation != generation {
            // Invalidations use tags up without any new context; making this one anew begins afresh.
            guard !spaces.isOutOfGenerations else {
                return nil
            }
            refreshTags(&context.pointee)
        }
        if !recent.isValid || recent.context != context {
            remember(context)
        }
        return context
    }

    /// Lets the next transaction of the stream go to the TLB at once.
    private func remember(_ context: UnsafeMutablePointer<StreamContext>) {
        var stream = RecentStream(context)
        stream.isValid = context.pointee.isPlain && !monitors.isCounting
        stream.hasSubstream = context.pointee.hasSubstream
        stream.streamID = UInt32(truncatingIfNeeded: context.pointee.key >> 32)
        stream.substreamID = UInt32(truncatingIfNeeded: context.pointee.key)
        stream.tag = context.pointee.tag
        recent = stream
    }

    /// Decodes STE and CD and keeps the result.
    func makeContext(_ transaction: Transaction) -> Resolution {
        var context = StreamContext()
        switch resolve(transaction, &context, live: true) {
        case .success: break
        case .failed(let event): return .failed(event)
        case .faulted(let fault): return .faulted(fault, context)
        case .aborted: return .aborted
        }
        context.key = StreamContext.key(transaction)
        context.hasSubstream = transaction.substreamID != nil
        context.epoch = configurationEpoch
        context.generation = generation
        context.isPlain =
            context.usesTLB && context.hasTwoPrivileges && !context.adjustsAddress
            && !context.combinesHints && context.PRIVCFG & 2 == 0 && context.INSTCFG & 2 == 0
        if context.ignoresTopByte != 0 { ignoresTags = true }
        let slot = contextSlot(transaction)
        slot.pointee = context
        remember(slot)
        return .context(slot)
    }

    /// The outcome of decoding.
    enum Decoding {
        case success
        case failed(EventRecord)
        case faulted(Fault)
        case aborted
    }

    /// Decodes STE and CD of a transaction into a context.
    func resolve(
        _ transaction: Transaction, _ context: inout StreamContext, live: Bool
    ) -> Decoding {
        let ste: StreamTableEntry
        switch findSTE(transaction, live: live) {
        case .found(let found): ste = found
        case .failed(let event): return .failed(event)
        case .faulted(let fault): return .faulted(fault)
        }
        guard ste.word0.bit(3) else {
            return .aborted
        }
        prepare(&context, ste, live: live)
        let index: UInt32
        switch chooseContext(ste, transaction) {
        case .failed(let event): return .failed(event)
        case .bypass:
            context.mode = ste.translatesStage2 ? .stage2 : .bypass
            refreshTags(&context)
            return .success
        case .index(let chosen): index = chosen
        }
        switch findCD(ste, index: index, &context, transaction, live: live) {
        case .failed(let event): return .failed(event)
        case .faulted(let fault): return .faulted(fault)
        case .found(let cd):
            context.decode(cd, features)
            let asid = context.hasTwoPrivileges ? UInt16(truncatingIfNeeded: cd.ASID) : 0
            context.space = spaces.space(machine: context.machine, asid: asid, ASET: cd.ASET)
            refreshTags(&context)
            return .success
        }
    }

    private func prepare(
        _ context: inout StreamContext, _ ste: StreamTableEntry, live: Bool
    ) {
        if spaces.isExhausted {
            // Tags are never used twice; when they run out, everything starts afresh.
            tlb.removeAll()
            walks.removeAll()
            spaces.reset()
            renewConfiguration()
        }
        context.world = world(of: ste)
        context.decode(ste, features)
        context.mode = ste.translatesStage2 ? .nested : .stage1
        let isTagged = features.stage2 && context.world == .NS_EL1
        context.machine = spaces.machine(
            world: context.world, vmid: isTagged ? UInt16(truncatingIfNeeded: ste.S2VMID) : 0)
        context.stage2Tag = spaces.stage2Tag(machine: context.machine)
    }

    func world(of ste: StreamTableEntry) -> StreamWorld {
        guard ste.STRW == 0b10, !ste.ignoresSTRW(features) else { return .NS_EL1 }
        return registers.CR2 & CR2.E2H != 0 ? .NS_EL2_E2H : .NS_EL2
    }

    /// Fetches the current tags of a context.
    func refreshTags(_ context: inout StreamContext) {
        context.generation = generation
        switch context.mode {
        case .bypass: break
        case .stage2:
            context.stage2Tag = spaces.stage2Tag(machine: context.machine)
            context.tag = context.stage2Tag
            context.globalTag = context.stage2Tag
        case .stage1, .nested:
            context.stage2Tag = spaces.stage2Tag(machine: context.machine)
            context.tag = spaces.tag(space: context.space)
            context.globalTag = spaces.globalTag(machine: context.machine, ASET: context.ASET)
        }
    }
}
