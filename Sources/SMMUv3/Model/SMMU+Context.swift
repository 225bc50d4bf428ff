extension SMMU {
    /// What a transaction meets before any address is translated.
    enum Resolution {
        case context(UnsafeMutablePointer<StreamContext>)
        case failed(EventRecord)
        case faulted(Fault, StreamContext)
        case aborted
    }

    /// The decoded configuration of a transaction; made from STE and CD if it is not at hand.
    @inline(__always)
    func findContext(_ transaction: Transaction) -> UnsafeMutablePointer<StreamContext>? {
        let key = StreamContext.key(streamID: transaction.streamID, substreamID: transaction.substreamID)
        let context = contexts + contextSlot(key)
        guard context.pointee.key == key, context.pointee.epoch == configurationEpoch else {
            return nil
        }
        if context.pointee.tagEpoch != spaces.epoch {
            refreshTags(&context.pointee)
        }
        return context
    }

    @inline(__always)
    private func contextSlot(_ key: UInt64) -> Int {
        let mixed = key ^ key &>> 29 ^ key &>> 40
        return Int(truncatingIfNeeded: mixed ^ mixed &>> 6) & (Self.contextCount &- 1)
    }

    /// Decodes STE and CD and keeps the result.
    func makeContext(_ transaction: Transaction) -> Resolution {
        var context = StreamContext()
        switch resolve(transaction, &context, Live.self) {
        case .success: break
        case .failed(let event): return .failed(event)
        case .faulted(let fault): return .faulted(fault, context)
        case .aborted: return .aborted
        }
        context.key = StreamContext.key(streamID: transaction.streamID, substreamID: transaction.substreamID)
        context.epoch = configurationEpoch
        let slot = contexts + contextSlot(context.key)
        slot.pointee = context
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
    func resolve<Mode: WalkMode>(
        _ transaction: Transaction, _ context: inout StreamContext, _ mode: Mode.Type
    ) -> Decoding {
        let ste: StreamTableEntry
        switch findSTE(transaction, mode) {
        case .found(let found): ste = found
        case .failed(let event): return .failed(event)
        case .faulted(let fault): return .faulted(fault)
        }
        guard ste.word0.bit(3) else {
            return .aborted
        }
        prepare(&context, ste, mode)
        let index: UInt32
        switch chooseContext(ste, transaction) {
        case .failed(let event): return .failed(event)
        case .bypass:
            context.mode = ste.translatesStage2 ? .stage2 : .bypass
            refreshTags(&context)
            return .success
        case .index(let chosen): index = chosen
        }
        switch findCD(ste, index: index, &context, transaction, mode) {
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

    private func prepare<Mode: WalkMode>(
        _ context: inout StreamContext, _ ste: StreamTableEntry, _ mode: Mode.Type
    ) {
        if spaces.isExhausted {
            // Tags are never used twice; when they run out, everything starts afresh.
            tlb.removeAll()
            spaces.reset()
            configurationEpoch &+= 1
        }
        if ste.STRW == 0b10 && !ste.ignoresSTRW(features) {
            context.world = registers.CR2 & CR2.E2H != 0 ? .NS_EL2_E2H : .NS_EL2
        }
        context.decode(ste, features)
        context.mode = ste.translatesStage2 ? .nested : .stage1
        let isTagged = features.stage2 && context.world == .NS_EL1
        context.machine = spaces.machine(
            world: context.world, vmid: isTagged ? UInt16(truncatingIfNeeded: ste.S2VMID) : 0)
        context.stage2Tag = spaces.stage2Tag(machine: context.machine)
    }

    /// Fetches the current tags of a context.
    func refreshTags(_ context: inout StreamContext) {
        context.tagEpoch = spaces.epoch
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
