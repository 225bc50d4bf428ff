import IOMMU

extension PageTable {
    /// Maps a range with the largest leaves that alignment allows, all of it or nothing.
    ///
    /// - Parameters:
    ///   - hugePages: false: only pages of the granule.
    /// - Throws: `ENOMEM` or `EDQUOT` before anything is written, `EEXIST` where something is mapped already.
    @inline(__always)
    package func map(
        iova: UInt64, pa: UInt64, length: UInt64, access: IOMMU.Access, hugePages: Bool
    ) throws(IOMMUError) {
        if isStandard, length == 4096, (iova | pa) & 4095 == 0, iova <= format.aperture.last,
            pa >> UInt64(truncatingIfNeeded: format.outputBits) == 0
        {
            // The page beside the last one has its table.
            if recent.pointee.tag != iova &>> 21 { try reserve(3) }
            guard mapPage(iova, addressAndAttributes: pa | attributes.bits(access, clean: startsClean) | 3) else {
                throw occupied(iova)
            }
            return
        }
        if isStandard, hugePages, length == Self.blockSize, (iova | pa) & (Self.blockSize &- 1) == 0,
            iova <= format.aperture.last, pa >> UInt64(truncatingIfNeeded: format.outputBits) == 0
        {
            try reserve(2)
            guard mapBlock(iova, addressAndAttributes: pa | attributes.bits(access, clean: startsClean) | 1) else {
                throw occupied(iova)
            }
            return
        }
        try mapRange(iova: iova, pa: pa, length: length, access: access, hugePages: hugePages)
    }

    private func mapRange(
        iova: UInt64, pa: UInt64, length: UInt64, access: IOMMU.Access, hugePages: Bool
    ) throws(IOMMUError) {
        guard (iova | pa | length) & (format.granule &- 1) == 0, length > 0 else { throw misaligned(iova, pa, length) }
        let (last, wraps) = iova.addingReportingOverflow(length &- 1)
        let (paLast, paWraps) = pa.addingReportingOverflow(length &- 1)
        guard !wraps, last <= format.aperture.last, !paWraps, paLast >> UInt64(format.outputBits) == 0 else {
            throw outside(iova, pa, length)
        }
        let leaf = attributes.bits(access, clean: startsClean)
        let tables = tablesNeeded(iova: iova, pa: pa, last: last, hugePages: hugePages)
        try checkShare(tables)
        try memory.hold(tables)
        defer { memory.letGo() }
        var done: UInt64 = 0
        while done < length {
            let written = mapRun(iova: iova &+ done, pa: pa &+ done, length: length &- done, leaf, hugePages)
            if written == 0 {
                let conflict = iova &+ done
                var undone = InvalidationGather()
                if done > 0 { unmap(iova: iova, length: done, gather: &undone) }
                forget(&undone)
                throw occupied(conflict)
            }
            done &+= written
        }
    }

    /// Fills entries of one table.
    ///
    /// - Returns: bytes mapped; 0 if the first entry is taken.
    func mapRun(iova: UInt64, pa: UInt64, length: UInt64, _ leaf: UInt64, _ hugePages: Bool) -> UInt64 {
        let level = leafLevel(iova: iova, pa: pa, length: length, hugePages)
        let table = level == 3 ? lowestTable(iova) : self.table(for: iova, level: level)
        guard table != 0 else { return 0 }
        let shift = UInt64(format.shift(level))
        let first = index(iova, level: level)
        let count = min(entries(level: level) &- first, length &>> shift)
        let words = memory.pointer(table &+ first &* 8)
        let kind: UInt64 = level == 3 ? 3 : 1
        var (written, replaced) = (0, 0)
        while written < Int(count) {
            if words[written] != 0 {
                guard makeRoom(at: iova &+ UInt64(written) &<< shift, in: words + written, level: level) else { break }
                replaced &+= 1
            }
            words[written] = addressBits(pa &+ UInt64(written) &<< shift) | leaf | kind
            written &+= 1
        }
        if table != root { memory.count(of: table).pointee &+= UInt16(truncatingIfNeeded: written &- replaced) }
        return UInt64(written) &<< shift
    }

    /// The level of the largest leaves that a range can begin with.
    @inline(__always)
    func leafLevel(iova: UInt64, pa: UInt64, length: UInt64, _ hugePages: Bool) -> Int {
        guard hugePages else { return 3 }
        for level in format.firstBlockLevel..<3 {
            let size = UInt64(1) &<< UInt64(format.shift(level))
            if (iova | pa) & (size &- 1) == 0, length >= size { return level }
        }
        return 3
    }

    /// The level 3 table for an address, made if missing; 0 if a block is in the way.
    @inline(__always)
    private func lowestTable(_ iova: UInt64) -> UInt64 {
        let tag = iova &>> UInt64(format.shift(2))
        if recent.pointee.tag == tag { return recent.pointee.table }
        let table = self.table(for: iova, level: 3)
        if table != 0, format.startLevel < 3 { (recent.pointee.tag, recent.pointee.table) = (tag, table) }
        return table
    }

    /// The table at a level for an address, made if missing; 0 if a block is in the way.
    @inline(__always)
    func table(for iova: UInt64, level: Int) -> UInt64 {
        var table = root
        var current = format.startLevel
        while current < level {
            let slot = memory.pointer(table &+ index(iova, level: current) &* 8)
            let descriptor = slot.pointee
            if descriptor == 0 {
                let child = takeTable()
                slot.pointee = addressBits(child) | LeafAttributes.table
                if current != format.startLevel { memory.count(of: table).pointee &+= 1 }
                table = child
            } else if isTable(descriptor, level: current) {
                table = address(in: descriptor, level: current)
            } else {
                return 0
            }
            current &+= 1
        }
        return table
    }

    /// No fewer tables than the range can need.
    private func tablesNeeded(iova: UInt64, pa: UInt64, last: UInt64, hugePages: Bool) -> Int {
        var needed = 0
        for level in format.startLevel..<3 {
            let shift = UInt64(format.shift(level))
            let spanned = Int((last >> shift) &- (iova >> shift)) &+ 1
            // Entries that become blocks need no table below: only the two ends do.
            let canBlock = hugePages && level >= format.firstBlockLevel && (iova ^ pa) & ((1 << shift) - 1) == 0
            needed += canBlock ? min(spanned, 2) : spanned
        }
        return needed
    }

    // MARK: Refusals

    private func misaligned(_ iova: UInt64, _ pa: UInt64, _ length: UInt64) -> IOMMUError {
        IOMMUError(
            .EINVAL, .misaligned,
            "\(span(length, at: iova)) are no whole pages of \(hexadecimal(format.granule)) bytes",
            hint: "make addresses and length multiples of that",
            ["iova": .hex(iova), "length": .hex(length)]
        )
    }

    private func outside(_ iova: UInt64, _ pa: UInt64, _ length: UInt64) -> IOMMUError {
        IOMMUError(
            .EINVAL, .outsideAperture,
            "\(span(length, at: iova)) lie beyond \(format.inputBits) bits, or \(format.outputBits) of output",
            hint: "map what the table translates",
            ["iova": .hex(iova), "length": .hex(length)]
        )
    }

    private func occupied(_ iova: UInt64) -> IOMMUError {
        IOMMUError(
            .EEXIST, .alreadyMapped, "something is mapped at \(hexadecimal(iova)) already", hint: "unmap that first",
            ["iova": .hex(iova)])
    }
}
