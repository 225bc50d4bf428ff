import IOMMU

/// The shape of one VMSAv8-64 table tree: granule, levels, sizes.
package struct PageTableFormat: Sendable, Equatable {
    /// 1 or 2.
    package let stage: Int
    /// log2 of the granule: 12, 14 or 16.
    package let granuleBits: Int
    /// Bits of the input address.
    package let inputBits: Int
    /// Bits of the output address, at most 52.
    package let outputBits: Int
    /// Level of the root, 0…2.
    package let startLevel: Int
    /// Bits of the input address that index the root; more than a table's where stage 2 concatenates.
    let rootIndexBits: Int

    /// The shape with the fewest levels.
    ///
    /// - Parameters:
    ///   - stage: 1 or 2; a stage 2 may have up to 16 tables side by side at the root.
    ///   - granuleBits: log2 of the granule in bytes: 12, 14 or 16.
    ///   - inputBits: 1 to 52.
    ///   - outputBits: up to 52.
    package init(stage: Int, granuleBits: Int, inputBits: Int, outputBits: Int) {
        (self.stage, self.granuleBits, self.inputBits, self.outputBits) = (stage, granuleBits, inputBits, outputBits)
        let stride = granuleBits - 3
        var start = 3
        var indexBits = inputBits - granuleBits
        // Stage 2 may put up to 16 tables side by side instead of one more level.
        while indexBits > stride + (stage == 2 ? 4 : 0), start > 0 {
            indexBits -= stride
            start -= 1
        }
        (startLevel, rootIndexBits) = (start, indexBits)
        guard let range = AddressRange(start: 0, last: (1 << UInt64(inputBits)) - 1) else {
            preconditionFailure("a last address lies below 0")
        }
        aperture = range
        for level in firstBlockLevel...3 { pageSizes |= 1 << UInt64(shift(level)) }
    }

    /// log2 of what one entry at `level` covers.
    @inline(__always)
    func shift(_ level: Int) -> Int { granuleBits &+ (3 &- level) &* (granuleBits &- 3) }

    var granule: UInt64 { 1 << UInt64(granuleBits) }

    var entriesPerTable: Int { 1 << (granuleBits - 3) }

    /// Bytes of the root, a power of two.
    var rootBytes: UInt64 { max(64, UInt64(8) << UInt64(rootIndexBits)) }

    /// What the page allocator is asked for.
    var rootAllocation: UInt64 { max(4096, rootBytes) }

    /// The lowest level that can hold blocks: 1 with 4 KiB, else 2.
    var firstBlockLevel: Int { max(granuleBits == 12 ? 1 : 2, startLevel) }

    /// One bit per leaf size in bytes.
    package private(set) var pageSizes: UInt64 = 0

    /// What can be mapped.
    package let aperture: AddressRange

    /// STE.S2SL0 / the start level code: depends on the granule.
    var stage2StartCode: UInt64 {
        switch granuleBits {
        case 12: UInt64(2 - startLevel)
        default: UInt64(3 - startLevel)
        }
    }
}

/// What leaf descriptors say beside the address.
struct LeafAttributes {
    static let valid: UInt64 = 1
    static let table: UInt64 = 3
    static let page: UInt64 = 2
    static let accessFlag: UInt64 = 1 << 10
    /// AP[2]: read-only, or writable-clean with DBM.
    static let readOnly: UInt64 = 1 << 7
    static let dirtyBitModifier: UInt64 = 1 << 51
    /// UXN and PXN.
    static let executeNever: UInt64 = 3 << 53
    static let innerShareable: UInt64 = 3 << 8

    /// Lower and upper attributes without the access rights.
    let common: UInt64
    let stage: Int
    /// Stage 1 with hardware dirty state: writable leaves carry DBM.
    let tracksDirty: Bool

    /// nG, AP[1] (unprivileged), AttrIndx = 1 (normal write-back), inner shareable, AF.
    static func stage1(tracksDirty: Bool, isExecutable: Bool = true) -> LeafAttributes {
        let fixed: UInt64 = accessFlag | innerShareable | 1 << 11 | 1 << 6 | 1 << 2
        return LeafAttributes(
            common: isExecutable ? fixed : fixed | executeNever, stage: 1, tracksDirty: tracksDirty)
    }

    /// MemAttr normal write-back (with FWB: 0b0110), inner shareable, AF.
    static func stage2(forceWriteBack: Bool) -> LeafAttributes {
        LeafAttributes(
            common: accessFlag | innerShareable | (forceWriteBack ? 0x6 << 2 : 0xf << 2), stage: 2, tracksDirty: false
        )
    }

    /// - Parameter clean: a writable leaf of a tracked domain starts clean.
    @inline(__always)
    func bits(_ access: IOMMU.Access, clean: Bool) -> UInt64 {
        let writable = access.allowsWriting
        if stage == 2 { return common | (access.allowsReading ? 1 << 6 : 0) | (writable ? 1 << 7 : 0) }
        if !writable { return common | Self.readOnly }
        guard tracksDirty else { return common }
        return common | Self.dirtyBitModifier | (clean ? Self.readOnly : 0)
    }
}
