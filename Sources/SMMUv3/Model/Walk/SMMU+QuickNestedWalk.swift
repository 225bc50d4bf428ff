/// One table with a 4 KiB granule as a quick walk needs it.
private struct QuickTable {
    let base: UInt64
    /// Of the first lookup: level n is indexed at 39 - 9n.
    let shift: UInt64
    /// The address bits that a descriptor may not have.
    let excess: UInt64

    @inline(__always)
    init(_ table: WalkParameters) {
        base = table.base
        shift = UInt64(bitPattern: 39 &- 9 &* Int64(table.startLevel))
        excess = 0x0000_ffff_ffff_f000 & ~((1 &<< UInt64(table.outputBits)) &- 1)
    }
}

extension SMMU {
    /// The walk that nearly all nested misses are: 4 KiB tables of both stages, leaves like the last ones.
    ///
    /// The cache of table translations is left alone: the few words of stage 2 that map tables are as near.
    ///
    /// - Returns: nil for whatever else there is, faults included; `walk` then starts over.
    @inline(__always)
    func walkNestedQuickly(
        _ context: UnsafeMutablePointer<StreamContext>, _ transaction: Transaction
    ) -> Output? {
        let address = transaction.address
        guard context.pointee.hasQuickTables, address &>> UInt64(context.pointee.table0.inputBits) == 0 else {
            return nil
        }
        let outer = QuickTable(context.pointee.table2)
        let inputBits = UInt64(context.pointee.table2.inputBits)
        guard let first = findNestedLeafQuickly(context, outer, inputBits: inputBits, address) else {
            return nil
        }
        let mask = (1 &<< first.shift) &- 1
        let IPA = first.descriptor & Self.quickAddress & ~mask | address & mask
        guard IPA &>> inputBits == 0, let second = findStage2LeafQuickly(outer, IPA),
            // The key is remembered of valid leaves only, so that it proves this one valid too.
            Self.leafKey(second.descriptor, shift: second.shift) == context.pointee.stage2LeafKey
        else {
            return nil
        }
        let pageMask = (1 &<< second.shift) &- 1
        if second.shift < first.shift {
            tlb.noteSplit(tag: context.pointee.tag, address: address, bits: first.shift)
            largestSplit = max(largestSplit, first.shift)
        }
        return cacheQuickly(
            context, transaction, output: second.descriptor & Self.quickAddress & ~pageMask | IPA & pageMask,
            shift: min(first.shift, second.shift))
    }

    /// The stage 1 leaf of an address if it has the attributes of the last one and stage 2 lets walks read all tables.
    @inline(__always)
    private func findNestedLeafQuickly(
        _ context: UnsafeMutablePointer<StreamContext>, _ outer: QuickTable, inputBits: UInt64, _ address: UInt64
    ) -> (descriptor: UInt64, shift: UInt64)? {
        let inner = QuickTable(context.pointee.table0)
        let allowedTypes = tableTypes(context)
        var base = inner.base
        var shift = inner.shift
        var hierarchy: UInt64 = 0
        while true {
            let IPA = base &+ ((address &>> shift) & 511) &* 8
            guard IPA &>> inputBits == 0, let page = findStage2LeafQuickly(outer, IPA) else {
                return nil
            }
            let readable = PageDescriptor.AF | PageDescriptor.S2AP0 | (page.shift == 12 ? 3 : 1)
            guard page.descriptor & readable == readable, page.descriptor & allowedTypes != 0, page.shift <= 30 else {
                return nil
            }
            let mask = (1 &<< page.shift) &- 1
            guard let descriptor = memory.load64(page.descriptor & Self.quickAddress & ~mask | IPA & mask),
                descriptor & inner.excess == 0
            else {
                return nil
            }
            if descriptor & 3 == 3 && shift > 12 {
                hierarchy |= descriptor
                base = descriptor & Self.quickAddress
                shift &-= 9
                continue
            }
            let isKnown = Self.leafKey(descriptor, shift: shift) == context.pointee.leafKey
            return isKnown && hierarchy & Self.hierarchyMask == 0 ? (descriptor, shift) : nil
        }
    }

    /// The bits of a stage 2 leaf of which one must be set where tables are: with S2PTW, those of Normal memory.
    @inline(__always)
    private func tableTypes(_ context: UnsafeMutablePointer<StreamContext>) -> UInt64 {
        guard context.pointee.protectsWalks else {
            return PageDescriptor.valid
        }
        return PageDescriptor.MemAttr(context.pointee.forcesWriteBack ? 0b0100 : 0b1100)
    }

    /// What ends the stage 2 walk for an IPA, valid or not; nil if the walk cannot get there.
    @inline(__always)
    private func findStage2LeafQuickly(_ table: QuickTable, _ IPA: UInt64) -> (descriptor: UInt64, shift: UInt64)? {
        var shift = table.shift
        // The start table may be several concatenated ones, so that its index is wider than nine bits.
        var entry = table.base &+ (IPA &>> shift) &* 8
        while true {
            guard let descriptor = memory.load64(entry), descriptor & table.excess == 0 else {
                return nil
            }
            guard descriptor & 3 == 3 && shift > 12 else {
                return (descriptor, shift)
            }
            shift &-= 9
            entry = descriptor & Self.quickAddress &+ ((IPA &>> shift) & 511) &* 8
        }
    }
}
