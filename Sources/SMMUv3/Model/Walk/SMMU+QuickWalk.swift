extension SMMU {
    /// APTable, PXNTable and UXNTable.
    static var hierarchyMask: UInt64 { 0xf << 59 }

    /// The address in a descriptor of a table with a 4 KiB granule.
    static var quickAddress: UInt64 { 0x0000_ffff_ffff_f000 }

    /// Everything of a 4 KiB descriptor but its address, with log2 of what it maps in the place of the address.
    @inline(__always)
    static func leafKey(_ descriptor: UInt64, shift: UInt64) -> UInt64 {
        descriptor & 0xffff_0000_0000_0fff | shift &<< 16
    }

    /// The walk that nearly all misses are: 4 KiB tables of one stage, a leaf like the last one.
    ///
    /// - Returns: nil for whatever else there is, faults included; `walk` then starts over.
    @inline(__always)
    func walkQuickly(_ context: UnsafeMutablePointer<StreamContext>, _ transaction: Transaction) -> Output? {
        let address = transaction.address
        guard context.pointee.hasQuickTable, address &>> UInt64(context.pointee.table0.inputBits) == 0,
            let leaf = findLeafQuickly(context, address)
        else {
            return nil
        }
        return cacheQuickly(context, transaction, output: leaf.descriptor & Self.quickAddress, shift: leaf.shift)
    }

    /// Caches what a leaf like the last one maps; nil if it does not permit the access.
    ///
    /// - Parameters:
    ///   - output: any address in the page of the output.
    ///   - shift: log2 of what is mapped.
    @inline(__always)
    func cacheQuickly(
        _ context: UnsafeMutablePointer<StreamContext>, _ transaction: Transaction, output: UInt64, shift: UInt64
    ) -> Output? {
        let address = transaction.address
        let attributes = context.pointee.leafAttributes
        let half = TLBAttributes.half(attributes, privileged: transaction.privileged)
        guard TLBAttributes.serves(half, transaction.access) else {
            return nil
        }
        let mask = (1 &<< shift) &- 1
        let output = output & ~mask
        tlb.statistics.misses &+= 1
        let entry = TLBEntry(
            tag: context.pointee.tag, page: address & ~mask | shift, output: output | shift, attributes: attributes)
        tlb.insert(entry) { spaces.liveTags() }
        return Output(
            address: output | address & mask, pageSize: mask &+ 1,
            attributes: OutputAttributes(packed: UInt32(truncatingIfNeeded: half & 0x1fff)), isCached: false)
    }

    /// The leaf of an address if it has the attributes of the last one.
    @inline(__always)
    private func findLeafQuickly(
        _ context: UnsafeMutablePointer<StreamContext>, _ address: UInt64
    ) -> (descriptor: UInt64, shift: UInt64)? {
        let outputBits = UInt64(context.pointee.table0.outputBits)
        var base = context.pointee.table0.base
        // Level n is indexed at 39 - 9n; the range of the address keeps the index within a short start table.
        var shift = UInt64(bitPattern: 39 &- 9 &* Int64(context.pointee.table0.startLevel))
        var hierarchy: UInt64 = 0
        while true {
            guard let descriptor = memory.load64(base &+ ((address &>> shift) & 511) &* 8) else {
                return nil
            }
            let next = descriptor & Self.quickAddress
            guard next &>> outputBits == 0 else {
                return nil
            }
            if descriptor & 3 == 3 && shift > 12 {
                hierarchy |= descriptor
                base = next
                shift &-= 9
                continue
            }
            // A key is remembered of valid leaves only, so that it proves this one valid too.
            let isKnown = Self.leafKey(descriptor, shift: shift) == context.pointee.leafKey
            return isKnown && hierarchy & Self.hierarchyMask == 0 ? (descriptor, shift) : nil
        }
    }

    /// Remembers a leaf for `walkQuickly` and `walkNestedQuickly`.
    @inline(__always)
    func remember(_ mapping: Mapping, in context: UnsafePointer<StreamContext>) {
        guard mapping.leafKey != 0, context.pointee.hasQuickTable || context.pointee.hasQuickTables else {
            return
        }
        let mutable = UnsafeMutablePointer(mutating: context)
        mutable.pointee.leafKey = mapping.leafKey
        mutable.pointee.stage2LeafKey = mapping.stage2LeafKey
        mutable.pointee.leafAttributes = TLBAttributes.pack(mapping)
    }
}
