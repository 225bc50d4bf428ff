extension SMMU {
    /// A stage 1 leaf with what led to it.
    struct Stage1Leaf {
        var descriptor: UInt64
        /// Physical address of the descriptor.
        var address: UInt64
        /// Its address before stage 2.
        var IPA: UInt64
        var level: Int8
        var shift: UInt64
        /// The table attributes of all levels above, or-ed.
        var hierarchy: UInt64
    }

    /// Walks the stage 1 tables, through stage 2 if nested, and checks permissions.
    @inline(__always)
    func walkStage1(
        _ context: UnsafePointer<StreamContext>, _ request: Request, isNested: Bool, live: Bool
    ) throws(Fault) -> Mapping {
        let isUpper = context.pointee.hasTwoPrivileges && request.address.bit(55)
        let table = isUpper ? context.pointee.table1 : context.pointee.table0
        let extension_ = Int64(bitPattern: request.address) &>> Int64(table.inputBits)
        guard !table.isDisabled, extension_ == (isUpper ? -1 : 0) else {
            throw Fault(.F_TRANSLATION)
        }
        for _ in 0..<Self.updateAttempts {
            if let leaf = try findLeaf(context, table, request, isNested: isNested, live: live),
                let mapping = try resolve(leaf, context, table, request, isNested: isNested, live: live)
            {
                return mapping
            }
        }
        throw Fault(.F_WALK_EABT, purpose: .TTD)
    }

    /// The leaf of an address; nil if a descriptor changed while it was being updated.
    @inline(__always)
    private func findLeaf(
        _ context: UnsafePointer<StreamContext>, _ table: WalkParameters, _ request: Request, isNested: Bool,
        live: Bool
    ) throws(Fault) -> Stage1Leaf? {
        var level = table.startLevel
        var base = table.base
        var shift = table.shift(level: level)
        var hierarchy: UInt64 = 0
        let stride = UInt64(table.stride)
        let indexMask = (1 &<< stride) &- 1
        // The start table is the only one that may be shorter.
        var index = request.address &>> shift & ((1 &<< (UInt64(table.inputBits) &- shift)) &- 1)
        while true {
            let IPA = base &+ index &* 8
            let address = isNested ? try addressOfEntry(context, IPA, live: live) : IPA
            countWalkAccess()
            guard let descriptor = memory.load64(address) else {
                throw Fault(.F_WALK_EABT, purpose: .TTD, address: address)
            }
            if !live {
                trace(stage: 1, level: level, table: address &- index &* 8, index: index, descriptor: descriptor)
            }
            let isTable = descriptor & 2 != 0 && level < 3
            guard descriptor & 1 != 0, isTable || (level == 3 ? descriptor & 2 != 0 : level >= table.firstBlockLevel)
            else {
                throw Fault(.F_TRANSLATION)
            }
            let next = table.address(descriptor)
            guard next &>> UInt64(table.outputBits) == 0 else {
                throw Fault(.F_ADDR_SIZE)
            }
            guard isTable else {
                return Stage1Leaf(
                    descriptor: descriptor, address: address, IPA: IPA, level: level, shift: shift,
                    hierarchy: hierarchy)
            }
            if live, try !isMarked(context, descriptor, at: address, IPA: IPA) { return nil }
            hierarchy |= descriptor
            base = next
            level &+= 1
            shift &-= stride
            index = request.address &>> shift & indexMask
        }
    }

    /// Sets the Access flag of a table descriptor where that is asked for (3.13.6); false if it has changed meanwhile.
    @inline(__always)
    private func isMarked(
        _ context: UnsafePointer<StreamContext>, _ descriptor: UInt64, at address: UInt64, IPA: UInt64
    ) throws(Fault) -> Bool {
        guard context.pointee.updatesTables, descriptor & PageDescriptor.AF == 0 else { return true }
        let leaf = Stage1Leaf(descriptor: descriptor, address: address, IPA: IPA, level: 0, shift: 0, hierarchy: 0)
        return try update(leaf, context, to: descriptor | PageDescriptor.AF, live: true)
    }

    /// Where stage 2 puts a descriptor that is read.
    @inline(__always)
    private func addressOfEntry(
        _ context: UnsafePointer<StreamContext>, _ IPA: UInt64, live: Bool
    ) throws(Fault) -> UInt64 {
        let access = Stage2Request(IPA: IPA, purpose: .TTD, required: TLBPermissions.stage2Read, isWrite: false)
        return try translateTableAddress(context, access, live: live)
    }

    /// Checks and updates a leaf; nil if the descriptor changed meanwhile.
    @inline(__always)
    private func resolve(
        _ leaf: Stage1Leaf, _ context: UnsafePointer<StreamContext>, _ table: WalkParameters, _ request: Request,
        isNested: Bool, live: Bool
    ) throws(Fault) -> Mapping? {
        var updated = leaf.descriptor
        if leaf.descriptor & PageDescriptor.AF == 0 {
            if context.pointee.updatesAccessFlag {
                updated |= PageDescriptor.AF
            } else if !context.pointee.ignoresAccessFlag {
                throw Fault(.F_ACCESS)
            }
        }
        let isUpper = context.pointee.hasTwoPrivileges && request.address.bit(55)
        let ignoresHierarchy = context.pointee.ignoresHierarchy & (isUpper ? 2 : 1) != 0
        var permissions = stage1Permissions(leaf.descriptor, ignoresHierarchy ? 0 : leaf.hierarchy, context)
        let required =
            TLBPermissions.required(request.access, privileged: request.privileged)
            & TLBPermissions.stage1All
        guard permissions & required == required else {
            throw Fault(.F_PERMISSION)
        }
        if request.isWrite && permissions & TLBPermissions.writableClean != 0 {
            updated &= ~PageDescriptor.AP2
            permissions &= ~TLBPermissions.writableClean
        }
        if live && updated != leaf.descriptor {
            guard try update(leaf, context, to: updated, live: live) else {
                return nil
            }
        }
        let mask = (1 &<< leaf.shift) &- 1
        let isGlobal = leaf.descriptor & PageDescriptor.nG == 0 && context.pointee.world != .NS_EL2
        let isPlain = updated == leaf.descriptor && !isGlobal && leaf.hierarchy & Self.hierarchyMask == 0
        return Mapping(
            output: table.address(leaf.descriptor) & ~mask, permissions: permissions, log2Size: leaf.shift,
            memoryAttributes: MemoryAttributes.stage1(MAIR: context.pointee.MAIR, descriptor: leaf.descriptor),
            shareability: UInt8(truncatingIfNeeded: leaf.descriptor &>> 8) & 3, level: leaf.level,
            granuleBits: table.granuleBits, isGlobal: isGlobal,
            leafKey: isPlain ? Self.leafKey(leaf.descriptor, shift: leaf.shift) : 0)
    }

    /// Hardware update of a stage 1 descriptor: a write that stage 2 must permit (3.13.5).
    private func update(
        _ leaf: Stage1Leaf, _ context: UnsafePointer<StreamContext>, to updated: UInt64, live: Bool
    ) throws(Fault) -> Bool {
        var address = leaf.address
        if context.pointee.mode == .nested {
            let access = Stage2Request(
                IPA: leaf.IPA, purpose: .TTD, required: TLBPermissions.stage2Write, isWrite: true, isTableWrite: true)
            address = try translateTableAddress(context, access, live: live)
        }
        countWalkAccess()
        guard let exchanged = memory.compareExchange64(address, expected: leaf.descriptor, desired: updated) else {
            throw Fault(.F_WALK_EABT, purpose: .TTD, address: address)
        }
        return exchanged
    }

    /// The permissions of a leaf under the direct scheme, in both privileges.
    @inline(__always)
    private func stage1Permissions(
        _ descriptor: UInt64, _ hierarchy: UInt64, _ context: UnsafePointer<StreamContext>
    ) -> UInt64 {
        let noWrites = hierarchy & PageDescriptor.APTable1 != 0
        var isReadOnly = descriptor & PageDescriptor.AP2 != 0
        var permissions: UInt64 = 0
        if isReadOnly && !noWrites && context.pointee.updatesDirtyState && descriptor & PageDescriptor.DBM != 0 {
            isReadOnly = false
            permissions = TLBPermissions.writableClean
        }
        let isWritable = !isReadOnly && !noWrites
        let UXN = (descriptor | hierarchy &>> 6) & PageDescriptor.UXN != 0
        let readWrite: UInt64 = isWritable ? 0b011 : 0b001
        guard context.pointee.hasTwoPrivileges else {
            let all = readWrite | (UXN || context.pointee.WXN && isWritable ? 0 : 0b100)
            return permissions | all | all << 3
        }
        let PXN = (descriptor | hierarchy &>> 6) & PageDescriptor.PXN != 0
        let isUnprivileged = descriptor & PageDescriptor.AP1 != 0 && hierarchy & PageDescriptor.APTable0 == 0
        let unprivilegedWrites = isUnprivileged && isWritable
        let unprivilegedExecutes = !UXN && !(context.pointee.WXN && unprivilegedWrites)
        if isUnprivileged {
            permissions |= readWrite << 3
        }
        if unprivilegedExecutes {
            permissions |= 0b100 << 3
        }
        if !(context.pointee.PAN && (isUnprivileged || context.pointee.EPAN && unprivilegedExecutes)) {
            permissions |= readWrite
        }
        // What EL0 may write, EL1 may not execute.
        if !PXN && !unprivilegedWrites && !(context.pointee.WXN && isWritable) {
            permissions |= 0b100
        }
        return permissions
    }
}
