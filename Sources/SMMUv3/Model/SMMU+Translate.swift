extension SMMU {
    /// Translates a transaction for real: fills caches, updates tables (HTTU), records events, stalls.
    ///
    /// - Parameter transaction: what a client device asks for.
    /// - Returns: where it goes, or what became of it.
    public func translate(_ transaction: Transaction) -> Translation {
        guard registers.isEnabled(CR0.SMMUEN), transaction.addressType == .untranslated else {
            return translateSpecially(transaction)
        }
        if let context = findContext(transaction) {
            return translate(transaction, context)
        }
        switch makeContext(transaction) {
        case .context(let context): return translate(transaction, context)
        case .failed(let event): return terminate(event, transaction)
        case .faulted(let fault, var context): return finish(fault, transaction, &context)
        case .aborted: return .terminated(.steAbort)
        }
    }

    @inline(__always)
    private func translate(
        _ transaction: Transaction, _ context: UnsafeMutablePointer<StreamContext>
    ) -> Translation {
        var request = Request(
            address: transaction.address, access: transaction.access, privileged: transaction.privileged)
        override(&request, context.pointee.PRIVCFG, context.pointee.INSTCFG)
        if !context.pointee.hasTwoPrivileges {
            request.privileged = true
        }
        let required = TLBPermissions.required(request.access, privileged: request.privileged)
        do throws(Fault) {
            if context.pointee.adjustsAddress {
                try adjust(&request, context)
            }
            if let entry = findEntry(context, request.address) {
                let output = entry.pointee.output
                if output & required == required, !(request.isWrite && output & TLBPermissions.writableClean != 0) {
                    tlb.statistics.hits &+= 1
                    return .ok(self.output(entry.pointee, request))
                }
                try refuse(output, required, context, request)
            }
            return .ok(try walk(context, request, Live.self))
        } catch {
            return finish(error, transaction, context)
        }
    }

    /// STE.PRIVCFG and INSTCFG; writes are always data (13.1.2).
    @inline(__always)
    func override(_ request: inout Request, _ PRIVCFG: UInt8, _ INSTCFG: UInt8) {
        if PRIVCFG & 2 != 0 {
            request.privileged = PRIVCFG & 1 != 0
        }
        if INSTCFG & 2 != 0 && request.access != .write {
            request.access = INSTCFG & 1 != 0 ? .execute : .read
        }
    }

    /// Drops the tag byte where TBI says so and hides a half from unprivileged accesses (E0PD).
    func adjust(_ request: inout Request, _ context: UnsafePointer<StreamContext>) throws(Fault) {
        let isUpper = context.pointee.hasTwoPrivileges && request.address.bit(55)
        let half: UInt8 = isUpper ? 2 : 1
        if context.pointee.ignoresTopByte & half != 0 {
            request.address.setBits(63, 56, isUpper ? 0xff : 0)
        }
        if context.pointee.hidesFromUnprivileged & half != 0 && !request.privileged {
            throw Fault(.F_TRANSLATION)
        }
    }

    /// The TLB entry for an address in a context.pointee.
    @inline(__always)
    func findEntry(_ context: UnsafePointer<StreamContext>, _ address: UInt64) -> UnsafeMutablePointer<TLBEntry>? {
        guard context.pointee.mode != .bypass else {
            return nil
        }
        if let entry = tlb.find(tag: context.pointee.tag, address: address) {
            return entry
        }
        return hasGlobalEntries ? tlb.find(tag: context.pointee.globalTag, address: address) : nil
    }

    /// A cached permission fault, where the entry tells at which stage; else the tables have to.
    func refuse(
        _ output: UInt64, _ required: UInt64, _ context: UnsafePointer<StreamContext>, _ request: Request
    ) throws(Fault) {
        let missing = required & ~output
        if missing & TLBPermissions.stage1All != 0 {
            throw Fault(.F_PERMISSION)
        }
        if missing != 0 && context.pointee.mode == .stage2 {
            throw Fault(.F_PERMISSION, isStage2: true, address: request.address)
        }
    }

    /// What a TLB entry gives for an access.
    @inline(__always)
    func output(_ entry: TLBEntry, _ request: Request) -> Output {
        let size: UInt64 = 1 &<< entry.log2Size
        let mask = size &- 1
        let address = (entry.output & ~TLBPermissions.mask & ~mask) | (request.address & mask)
        return Output(
            address: address, pageSize: size,
            attributes: OutputAttributes(
                memoryAttributes: UInt8(truncatingIfNeeded: entry.attributes),
                shareability: UInt8(truncatingIfNeeded: entry.attributes &>> 8),
                permissions: effective(entry.output, privileged: request.privileged)), isCached: true)
    }

    /// Read 1, write 2, execute 4 over both stages.
    @inline(__always)
    func effective(_ permissions: UInt64, privileged: Bool) -> UInt32 {
        let stage1 = permissions &>> (privileged ? 0 : 3)
        let execute = permissions &>> (privileged ? 8 : 9)
        let stage2 = (permissions &>> 6) & 0b011 | (execute & 1) &<< 2
        return UInt32(truncatingIfNeeded: stage1 & stage2 & 0b111)
    }

    /// Translates by the tables and, if live, caches the result.
    @inline(never)
    func walk<Mode: WalkMode>(
        _ context: UnsafePointer<StreamContext>, _ request: Request, _ mode: Mode.Type
    ) throws(Fault) -> Output {
        if context.pointee.mode == .bypass || context.pointee.mode == .stage2 {
            // The input of a stage 1 that is skipped is checked against the IAS (3.4).
            guard request.address >> UInt64(features.OAS) == 0 else {
                throw Fault(.F_ADDR_SIZE)
            }
        }
        let mapping: Mapping
        switch context.pointee.mode {
        case .bypass:
            return bypass(request.address)
        case .stage1:
            var found = try walkStage1(context, request, mode)
            found.permissions |= TLBPermissions.stage2All
            mapping = found
        case .stage2:
            var found = try walkStage2(context, stage2Request(request.address, request), mode)
            found.permissions |= TLBPermissions.stage1All
            mapping = found
        case .nested:
            mapping = try walkNested(context, request, mode)
        }
        if Mode.isLive {
            tlb.statistics.misses &+= 1
            if mapping.isGlobal {
                hasGlobalEntries = true
            }
            insert(mapping, tag: mapping.isGlobal ? context.pointee.globalTag : context.pointee.tag, address: request.address)
        }
        let size: UInt64 = 1 &<< mapping.log2Size
        return Output(
            address: mapping.output | request.address & (size &- 1), pageSize: size,
            attributes: OutputAttributes(
                memoryAttributes: mapping.memoryAttributes, shareability: mapping.shareability,
                permissions: effective(mapping.permissions, privileged: request.privileged)), isCached: false)
    }

    @inline(__always)
    private func stage2Request(_ IPA: UInt64, _ request: Request) -> Stage2Request {
        let required = TLBPermissions.required(request.access, privileged: request.privileged)
        return Stage2Request(
            IPA: IPA, purpose: .IN, required: required & TLBPermissions.stage2All, isWrite: request.isWrite)
    }

    @inline(__always)
    private func walkNested<Mode: WalkMode>(
        _ context: UnsafePointer<StreamContext>, _ request: Request, _ mode: Mode.Type
    ) throws(Fault) -> Mapping {
        let first = try walkStage1(context, request, mode)
        let IPA = first.output | request.address & ((1 &<< first.log2Size) &- 1)
        let second = try walkStage2(context, stage2Request(IPA, request), mode)
        var combined = first
        combined.log2Size = min(first.log2Size, second.log2Size)
        let mask = (1 &<< combined.log2Size) &- 1
        combined.output = (second.output | IPA & ((1 &<< second.log2Size) &- 1)) & ~mask
        combined.permissions |= second.permissions
        if second.memoryAttributes != MemoryAttributes.writeBack {
            combined.memoryAttributes = MemoryAttributes.combine(first.memoryAttributes, second.memoryAttributes)
        }
        combined.shareability = MemoryAttributes.combineShareability(first.shareability, second.shareability)
        return combined
    }

    /// An address that nothing translates.
    func bypass(_ address: UInt64) -> Output {
        Output(
            address: address, pageSize: 0,
            attributes: OutputAttributes(
                memoryAttributes: MemoryAttributes.writeBack, shareability: 0, permissions: 0b111), isCached: false)
    }

    /// Caches a mapping.
    @inline(__always)
    func insert(_ mapping: Mapping, tag: UInt64, address: UInt64) {
        let start = (address &>> mapping.log2Size) &<< mapping.log2Size
        let entry = TLBEntry(
            tag: tag, page: start | mapping.log2Size, output: mapping.output | mapping.permissions,
            attributes: TLBAttributes.pack(
                memory: mapping.memoryAttributes, shareability: mapping.shareability,
                granuleBits: mapping.granuleBits, level: mapping.level))
        tlb.insert(entry) { spaces.liveTags() }
    }
}
