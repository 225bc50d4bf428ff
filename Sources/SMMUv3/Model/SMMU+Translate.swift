extension SMMU {
    /// Translates a transaction for real: fills caches, updates tables (HTTU), records events, stalls.
    ///
    /// - Parameter transaction: what a client device asks for.
    /// - Returns: where it goes, or what became of it.
    @inline(__always)
    public func translate(_ transaction: Transaction) -> Translation {
        if recent.isValid, recent.streamID == transaction.streamID, transaction.addressType == .untranslated,
            recent.hasSubstream == (transaction.substreamID != nil),
            recent.substreamID == transaction.substreamID ?? 0
        {
            guard let entry = tlb.find(tag: recent.tag, address: transaction.address) else {
                return hasGlobalEntries ? translateSlowly(transaction) : translateMiss(transaction)
            }
            let half = TLBAttributes.half(entry.pointee.attributes, privileged: transaction.privileged)
            if TLBAttributes.serves(half, transaction.access) {
                tlb.statistics.hits &+= 1
                return .ok(output(entry, transaction.address, half))
            }
        }
        return translateSlowly(transaction)
    }

    /// A miss of the TLB for the stream of the last transaction, whose transactions need no adjustment.
    @inline(never)
    func translateMiss(_ transaction: Transaction) -> Translation {
        let context = recent.context
        if let output = walkQuickly(context, transaction) ?? walkNestedQuickly(context, transaction) {
            return .ok(output)
        }
        do throws(Fault) {
            let request = Request(
                address: transaction.address, access: transaction.access, privileged: transaction.privileged)
            return .ok(try walk(context, request))
        } catch {
            return finish(error, transaction, context)
        }
    }

    /// Everything but a hit in the TLB for the stream of the last transaction.
    @inline(never)
    func translateSlowly(_ transaction: Transaction) -> Translation {
        monitors.isCounting ? translateMonitored(transaction) : translateAnyway(transaction)
    }

    /// As ``translateSlowly(_:)``, uncounted.
    @inline(__always)
    func translateAnyway(_ transaction: Transaction) -> Translation {
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
        do throws(Fault) {
            let request = try request(transaction, context)
            if let output = try cachedOutput(context, request) {
                return .ok(output)
            }
            return .ok(try walk(context, request))
        } catch {
            return finish(error, transaction, context)
        }
    }

    /// A transaction as the tables see it: overridden, and without the byte that TBI ignores.
    @inline(__always)
    func request(
        _ transaction: Transaction, _ context: UnsafePointer<StreamContext>
    ) throws(Fault) -> Request {
        var request = Request(
            address: transaction.address, access: transaction.access, privileged: transaction.privileged)
        override(&request, context.pointee.PRIVCFG, context.pointee.INSTCFG)
        if !context.pointee.hasTwoPrivileges {
            request.privileged = true
        }
        if context.pointee.adjustsAddress {
            try adjust(&request, context)
        }
        return request
    }

    /// What the TLB answers; nil if the tables have to be asked.
    @inline(__always)
    func cachedOutput(
        _ context: UnsafePointer<StreamContext>, _ request: Request
    ) throws(Fault) -> Output? {
        guard let entry = findEntry(context, request.address) else {
            return nil
        }
        let half = TLBAttributes.half(entry.pointee.attributes, privileged: request.privileged)
        guard TLBAttributes.serves(half, request.access) else {
            try refuse(entry.pointee.permissions, context, request)
            return nil
        }
        tlb.statistics.hits &+= 1
        return withHints(output(entry, request.address, half), context)
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

    /// The TLB entry for an address in a context.
    @inline(__always)
    func findEntry(_ context: UnsafePointer<StreamContext>, _ address: UInt64) -> UnsafeMutablePointer<TLBEntry>? {
        guard context.pointee.usesTLB else {
            return nil
        }
        if let entry = tlb.find(tag: context.pointee.tag, address: address) {
            return entry
        }
        return hasGlobalEntries ? tlb.find(tag: context.pointee.globalTag, address: address) : nil
    }

    /// A cached permission fault, where the entry tells at which stage; else the tables have to.
    func refuse(
        _ permissions: UInt64, _ context: UnsafePointer<StreamContext>, _ request: Request
    ) throws(Fault) {
        let missing = TLBPermissions.required(request.access, privileged: request.privileged) & ~permissions
        if missing & TLBPermissions.stage1All != 0 {
            throw Fault(.F_PERMISSION)
        }
        if missing != 0 && context.pointee.mode == .stage2 {
            throw Fault(.F_PERMISSION, isStage2: true, address: request.address)
        }
    }

    /// What a TLB entry gives for an access.
    @inline(__always)
    func output(_ entry: UnsafeMutablePointer<TLBEntry>, _ address: UInt64, _ half: UInt64) -> Output {
        let size: UInt64 = 1 &<< entry.pointee.log2Size
        let mask = size &- 1
        return Output(
            address: entry.pointee.output & ~mask | address & mask, pageSize: size,
            attributes: OutputAttributes(packed: UInt32(truncatingIfNeeded: half & 0x1fff)), isCached: true)
    }

    /// Translates by the tables for a transaction and caches the result.
    @inline(never)
    func walk(_ context: UnsafePointer<StreamContext>, _ request: Request) throws(Fault) -> Output {
        try walk(context, request, live: true)
    }

    /// Translates by the tables for somebody who only looks.
    @inline(never)
    func lookWalk(_ context: UnsafePointer<StreamContext>, _ request: Request) throws(Fault) -> Output {
        try walk(context, request, live: false)
    }

    @inline(__always)
    private func walk(
        _ context: UnsafePointer<StreamContext>, _ request: Request, live: Bool
    ) throws(Fault) -> Output {
        if context.pointee.mode == .bypass || context.pointee.mode == .stage2 {
            // The input of a stage 1 that is skipped is checked against the IAS (3.4).
            guard request.address >> UInt64(features.OAS) == 0 else {
                throw Fault(.F_ADDR_SIZE)
            }
        }
        var mapping: Mapping
        switch context.pointee.mode {
        case .bypass:
            return bypass(request.address, context.pointee.input)
        case .stage1:
            var found = try walkStage1(context, request, isNested: false, live: live)
            found.permissions |= TLBPermissions.stage2All
            mapping = found
        case .stage2:
            var found = try walkStage2(context, stage2Request(request.address, request), live: live)
            found.permissions |= TLBPermissions.stage1All
            combine(&found, context.pointee.input.type, context.pointee.input.shareability)
            mapping = found
        case .nested:
            mapping = try walkNested(context, request, live: live)
        }
        mapping.shareability = MemoryAttributes.consistentShareability(mapping.memoryAttributes, mapping.shareability)
        if live && context.pointee.usesTLB {
            cache(mapping, of: context, address: request.address)
        }
        let size: UInt64 = 1 &<< mapping.log2Size
        let output = Output(
            address: mapping.output | request.address & (size &- 1), pageSize: size,
            attributes: OutputAttributes(
                memoryAttributes: mapping.memoryAttributes, shareability: mapping.shareability,
                permissions: effective(mapping.permissions, privileged: request.privileged)), isCached: false)
        return withHints(output, context)
    }

    @inline(__always)
    private func stage2Request(_ IPA: UInt64, _ request: Request) -> Stage2Request {
        let required = TLBPermissions.required(request.access, privileged: request.privileged)
        return Stage2Request(
            IPA: IPA, purpose: .IN, required: required & TLBPermissions.stage2All, isWrite: request.isWrite)
    }

    @inline(__always)
    private func walkNested(
        _ context: UnsafePointer<StreamContext>, _ request: Request, live: Bool
    ) throws(Fault) -> Mapping {
        let first = try walkStage1(context, request, isNested: true, live: live)
        let IPA = first.output | request.address & ((1 &<< first.log2Size) &- 1)
        let second = try walkStage2(context, stage2Request(IPA, request), live: live)
        var combined = first
        combined.log2Size = min(first.log2Size, second.log2Size)
        combined.splitBits = second.log2Size < first.log2Size ? first.log2Size : 0
        let mask = (1 &<< combined.log2Size) &- 1
        combined.output = (second.output | IPA & ((1 &<< second.log2Size) &- 1)) & ~mask
        combined.permissions |= second.permissions
        combined.leafKey = second.leafKey == 0 ? 0 : first.leafKey
        combined.stage2LeafKey = second.leafKey
        var attributes = second
        combine(&attributes, first.memoryAttributes, first.shareability)
        (combined.memoryAttributes, combined.shareability) = (attributes.memoryAttributes, attributes.shareability)
        return combined
    }

    /// Read 1, write 2, execute 4 over both stages.
    @inline(__always)
    func effective(_ permissions: UInt64, privileged: Bool) -> UInt32 {
        UInt32(truncatingIfNeeded: TLBPermissions.combined(permissions) &>> (privileged ? 0 : 3)) & 7
    }

    /// Caches a mapping that the tables gave.
    @inline(__always)
    private func cache(_ mapping: Mapping, of context: UnsafePointer<StreamContext>, address: UInt64) {
        tlb.statistics.misses &+= 1
        if mapping.isGlobal {
            hasGlobalEntries = true
        }
        remember(mapping, in: context)
        let tag = mapping.isGlobal ? context.pointee.globalTag : context.pointee.tag
        tlb.insert(entry(mapping, tag: tag, address: address)) { spaces.liveTags() }
        if mapping.splitBits != 0 {
            tlb.noteSplit(tag: tag, address: address, bits: mapping.splitBits)
            largestSplit = max(largestSplit, mapping.splitBits)
        }
    }

    /// The entry for a mapping.
    @inline(__always)
    func entry(_ mapping: Mapping, tag: UInt64, address: UInt64) -> TLBEntry {
        let start = (address &>> mapping.log2Size) &<< mapping.log2Size
        return TLBEntry(
            tag: tag, page: start | mapping.log2Size, output: mapping.output | mapping.log2Size,
            attributes: TLBAttributes.pack(mapping))
    }
}
