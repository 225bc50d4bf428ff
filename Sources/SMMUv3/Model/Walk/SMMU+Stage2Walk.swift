extension SMMU {
    /// What a stage 2 walk is made for.
    struct Stage2Request {
        let IPA: UInt64
        let purpose: EventClass
        /// `TLBPermissions` that the access needs of stage 2.
        let required: UInt64
        /// The access is a write that must leave the page dirty.
        let isWrite: Bool
        /// A CD fetch never makes a page dirty (3.13.3.1).
        var isTableWrite = false

        @inline(__always)
        func fault(_ type: EventType, address: UInt64? = nil) -> Fault {
            Fault(type, isStage2: true, purpose: purpose, address: address ?? IPA, isTableWrite: isTableWrite)
        }
    }

    /// How often an update may lose against another writer of the same descriptor before the walk gives up.
    static var updateAttempts: Int { 16 }

    /// Walks the stage 2 tables and checks permissions.
    @inline(__always)
    func walkStage2(
        _ context: UnsafePointer<StreamContext>, _ request: Stage2Request, live: Bool
    ) throws(Fault) -> Mapping {
        for _ in 0..<Self.updateAttempts {
            if let mapping = try attemptStage2(context, request, live: live) {
                return mapping
            }
        }
        throw request.fault(.F_WALK_EABT)
    }

    /// One walk; nil if the descriptor changed while it was being updated.
    @inline(__always)
    private func attemptStage2(
        _ context: UnsafePointer<StreamContext>, _ request: Stage2Request, live: Bool
    ) throws(Fault) -> Mapping? {
        let table = context.pointee.table2
        guard request.IPA &>> UInt64(table.inputBits) == 0 else {
            throw request.fault(.F_TRANSLATION)
        }
        var level = table.startLevel
        var base = table.base
        var shift = table.shift(level: level)
        // The start table may be several concatenated ones, so that its index is wider than the stride.
        var index = request.IPA &>> shift
        let indexMask = (1 &<< UInt64(table.stride)) &- 1
        while true {
            let address = base &+ index &* 8
            countWalkAccess()
            guard let descriptor = memory.load64(address) else {
                throw request.fault(.F_WALK_EABT, address: address)
            }
            if !live {
                trace(stage: 2, level: level, table: base, index: index, descriptor: descriptor)
            }
            let isTable = descriptor & 2 != 0 && level < 3
            guard descriptor & 1 != 0, isTable || (level == 3 ? descriptor & 2 != 0 : level >= table.firstBlockLevel)
            else {
                throw request.fault(.F_TRANSLATION)
            }
            let next = table.address(descriptor)
            guard next &>> UInt64(table.outputBits) == 0 else {
                throw request.fault(.F_ADDR_SIZE)
            }
            if isTable {
                if live, try !isMarked(context, request, descriptor, at: address) { return nil }
                base = next
                level &+= 1
                shift &-= UInt64(table.stride)
                index = request.IPA &>> shift & indexMask
                continue
            }
            return try leafStage2(context, request, descriptor, at: address, level: level, shift: shift, live: live)
        }
    }

    /// Sets the Access flag of a table descriptor where that is asked for (3.13.6); false if it has changed meanwhile.
    @inline(__always)
    private func isMarked(
        _ context: UnsafePointer<StreamContext>, _ request: Stage2Request, _ descriptor: UInt64, at address: UInt64
    ) throws(Fault) -> Bool {
        guard context.pointee.stage2UpdatesTables, descriptor & PageDescriptor.AF == 0 else { return true }
        let marked = descriptor | PageDescriptor.AF
        countWalkAccess()
        guard let exchanged = memory.compareExchange64(address, expected: descriptor, desired: marked) else {
            throw request.fault(.F_WALK_EABT, address: address)
        }
        return exchanged
    }

    @inline(__always)
    private func leafStage2(
        _ context: UnsafePointer<StreamContext>, _ request: Stage2Request, _ descriptor: UInt64, at address: UInt64,
        level: Int8, shift: UInt64, live: Bool
    ) throws(Fault) -> Mapping? {
        var updated = descriptor
        if descriptor & PageDescriptor.AF == 0 {
            if context.pointee.stage2UpdatesAccessFlag {
                updated |= PageDescriptor.AF
            } else if !context.pointee.stage2IgnoresAccessFlag {
                throw request.fault(.F_ACCESS)
            }
        }
        var permissions = stage2Permissions(descriptor, context)
        guard permissions & request.required == request.required,
            request.purpose == .IN || !context.pointee.protectsWalks
                || !MemoryAttributes.isDevice(stage2: descriptor, forcesWriteBack: context.pointee.forcesWriteBack)
        else {
            throw request.fault(.F_PERMISSION)
        }
        if request.isWrite && permissions & TLBPermissions.writableClean != 0 {
            updated |= PageDescriptor.S2AP1
            permissions &= ~TLBPermissions.writableClean
        }
        if live && updated != descriptor {
            countWalkAccess()
            guard let exchanged = memory.compareExchange64(address, expected: descriptor, desired: updated) else {
                throw request.fault(.F_WALK_EABT, address: address)
            }
            if !exchanged {
                return nil
            }
        }
        let mask = (1 &<< shift) &- 1
        return Mapping(
            output: context.pointee.table2.address(descriptor) & ~mask, permissions: permissions, log2Size: shift,
            memoryAttributes: MemoryAttributes.stage2(descriptor, forcesWriteBack: context.pointee.forcesWriteBack),
            shareability: UInt8(truncatingIfNeeded: descriptor.bits(9, 8)), level: level,
            granuleBits: context.pointee.table2.granuleBits, isGlobal: false,
            replacesType: MemoryAttributes.replacesStage1(
                descriptor, forcesWriteBack: context.pointee.forcesWriteBack),
            leafKey: updated == descriptor ? Self.leafKey(descriptor, shift: shift) : 0)
    }

    @inline(__always)
    private func stage2Permissions(_ descriptor: UInt64, _ context: UnsafePointer<StreamContext>) -> UInt64 {
        var permissions = descriptor & (PageDescriptor.S2AP0 | PageDescriptor.S2AP1)
        if context.pointee.stage2UpdatesDirtyState
            && descriptor & (PageDescriptor.DBM | PageDescriptor.S2AP1) == PageDescriptor.DBM
        {
            permissions |= TLBPermissions.stage2Write | TLBPermissions.writableClean
        }
        let XN = features.XNX ? descriptor.bits(54, 53) : descriptor.bits(54, 54) << 1
        switch XN {
        case 0b00: permissions |= TLBPermissions.stage2ExecutePrivileged | TLBPermissions.stage2ExecuteUnprivileged
        case 0b01: permissions |= TLBPermissions.stage2ExecuteUnprivileged
        case 0b11: permissions |= TLBPermissions.stage2ExecutePrivileged
        default: break
        }
        return permissions
    }

    /// Where stage 2 puts a table access of stage 1, from the cache of such pages if it knows this one.
    @inline(__always)
    func translateTableAddress(
        _ context: UnsafePointer<StreamContext>, _ request: Stage2Request, live: Bool
    ) throws(Fault) -> UInt64 {
        if let entry = walks.find(tag: context.pointee.stage2Tag, address: request.IPA),
            entry.pointee.permissions & request.required == request.required,
            !(request.isWrite && entry.pointee.permissions & TLBPermissions.writableClean != 0),
            !context.pointee.protectsWalks
        {
            let mask = (1 &<< entry.pointee.log2Size) &- 1
            return entry.pointee.output & ~(mask | TLBEntry.flags) | request.IPA & mask
        }
        var mapping = try walkStage2(context, request, live: live)
        if live {
            // What stage 2 alone permits: there is no stage 1 that forbids anything.
            mapping.permissions |= TLBPermissions.stage1All
            walks.insert(entry(mapping, tag: context.pointee.stage2Tag, address: request.IPA)) { spaces.liveTags() }
        }
        return mapping.output | request.IPA & ((1 &<< mapping.log2Size) &- 1)
    }
}
