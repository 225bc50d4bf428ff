import IOMMU

/// Where dirty pages are noted: bit i stands for page i from `start`.
struct DirtyBitmap {
    let bytes: UnsafeMutableBufferPointer<UInt8>
    /// Input address of bit 0.
    let start: UInt64
    /// log2 of what a bit stands for.
    let pageShift: Int
    /// Bits set that were clear before.
    var count: UInt64 = 0

    /// Notes the pages that a range touches.
    mutating func set(_ first: UInt64, last: UInt64) {
        var bit = (first &- start) >> UInt64(pageShift)
        let end = (last &- start) >> UInt64(pageShift)
        while bit <= end {
            let index = Int(truncatingIfNeeded: bit >> 3)
            guard index < bytes.count else { return }
            if bit & 7 == 0, end - bit >= 7 {
                count &+= UInt64((~bytes[index]).nonzeroBitCount)
                bytes[index] = 0xff
                bit += 8
            } else {
                let mask = UInt8(1) << UInt8(bit & 7)
                if bytes[index] & mask == 0 { count &+= 1 }
                bytes[index] |= mask
                bit += 1
            }
        }
    }
}

extension PageTable {
    private static let dirtyMask = LeafAttributes.valid | LeafAttributes.dirtyBitModifier | LeafAttributes.readOnly
    private static let dirtyValue = LeafAttributes.valid | LeafAttributes.dirtyBitModifier

    /// Notes every leaf in the range that was written since it was last clean.
    ///
    /// - Parameters:
    ///   - bitmap: nil: only clears.
    ///   - clear: makes the leaves clean again; what has to be invalidated then goes to `gather`.
    func readDirty(
        iova: UInt64, last: UInt64, clear: Bool, into bitmap: inout DirtyBitmap?, gather: inout InvalidationGather
    ) {
        var address = iova
        let end = min(last, format.aperture.last)
        while address <= end {
            var (table, level, descriptor) = (root, format.startLevel, UInt64(0))
            while true {
                descriptor = memory.load(table &+ index(address, level: level) &* 8)
                guard isTable(descriptor, level: level) else { break }
                table = self.address(in: descriptor, level: level)
                level &+= 1
            }
            let size = UInt64(1) &<< UInt64(format.shift(level))
            let tableEnd = address | (size &* entries(level: level) &- 1)
            let runEnd = min(end, tableEnd)
            scan(table, level: level, from: address, to: runEnd, clear: clear, into: &bitmap, gather: &gather)
            if runEnd == end { return }
            address = runEnd &+ 1
        }
    }

    /// Every leaf that devices may write counts as written.
    func markDirty() { markDirty(root, level: format.startLevel) }

    /// Recursion stays within four levels.
    private func markDirty(_ table: UInt64, level: Int) {
        let words = memory.pointer(table)
        for entry in 0..<Int(truncatingIfNeeded: entries(level: level)) {
            let descriptor = words[entry]
            if isTable(descriptor, level: level) {
                markDirty(address(in: descriptor, level: level), level: level &+ 1)
            } else if descriptor & Self.dirtyMask == Self.dirtyMask {
                words[entry] = descriptor & ~LeafAttributes.readOnly
            }
        }
    }

    /// The leaves of one table; entries that are tables end the run and are left to the next walk.
    private func scan(
        _ table: UInt64, level: Int, from address: UInt64, to end: UInt64, clear: Bool, into bitmap: inout DirtyBitmap?,
        gather: inout InvalidationGather
    ) {
        let shift = UInt64(format.shift(level))
        let words = memory.pointer(table)
        var (entry, last) = (Int(index(address, level: level)), Int(index(end, level: level)))
        if level == 3, let map = bitmap, map.pageShift == Int(shift), map.start & (1 &<< shift &- 1) == 0 {
            let bit = (address &- map.start) >> shift
            entry = scanPages(words, entry: entry, last: last, bit: bit, clear: clear, into: &bitmap, gather: &gather)
            last = max(last, entry - 1)
        }
        var start = (address & ~(1 &<< shift &- 1)) &+ UInt64(entry &- Int(index(address, level: level))) &<< shift
        while entry <= last {
            let descriptor = words[entry]
            if isTable(descriptor, level: level) {
                // Recursion stays within four levels.
                let childEnd = min(end, start &+ (1 &<< shift &- 1))
                scan(
                    self.address(in: descriptor, level: level), level: level &+ 1, from: max(start, address),
                    to: childEnd, clear: clear, into: &bitmap, gather: &gather
                )
            } else if descriptor & Self.dirtyMask == Self.dirtyValue {
                bitmap?.set(max(start, address), last: min(end, start &+ (1 &<< shift &- 1)))
                if clear {
                    words[entry] = descriptor | LeafAttributes.readOnly
                    gather.add(start, bytes: 1 &<< shift, shift: Int(shift))
                }
            }
            entry &+= 1
            start &+= 1 &<< shift
        }
    }

    /// Eight pages of the lowest level at a time, while bits and pages are the same size.
    ///
    /// - Returns: the first entry that was not looked at.
    private func scanPages(
        _ words: UnsafeMutablePointer<UInt64>, entry first: Int, last: Int, bit firstBit: UInt64, clear: Bool,
        into bitmap: inout DirtyBitmap?, gather: inout InvalidationGather
    ) -> Int {
        guard let map = bitmap, firstBit & 7 == 0, let bytes = map.bytes.baseAddress else { return first }
        let firstByte = Int(truncatingIfNeeded: firstBit >> 3)
        let groups = min((last &- first &+ 1) / 8, map.bytes.count &- firstByte)
        guard groups > 0 else { return first }
        let base = map.start &+ firstBit << UInt64(map.pageShift)
        var (group, byte) = (words + first, bytes + firstByte)
        let end = group + groups &* 8
        // Once the whole address space is to be invalidated, no page needs to be named.
        var named = clear && !gather.overflowed
        var found: UInt64 = 0
        while group < end {
            let bits = Self.dirtyPages(group)
            if bits != 0 {
                found &+= UInt64((bits & ~byte.pointee).nonzeroBitCount)
                byte.pointee |= bits
                if clear { Self.clean(group, bits) }
                if named {
                    let start = base &+ UInt64(group - words - first) << UInt64(map.pageShift)
                    name(bits, from: start, in: &gather)
                    named = !gather.overflowed
                }
            }
            group += 8
            byte += 1
        }
        bitmap?.count &+= found
        return first &+ groups &* 8
    }

    /// Which of eight pages are dirty, one bit each.
    ///
    /// The three bits that decide lie so far apart that four descriptors fit into one word, each shifted by its number.
    @inline(__always)
    private static func dirtyPages(_ words: UnsafeMutablePointer<UInt64>) -> UInt8 {
        let low = packed(words[0], words[1], words[2], words[3])
        let high = packed(words[4], words[5], words[6], words[7])
        return UInt8(truncatingIfNeeded: dirty(low) | dirty(high) &<< 4)
    }

    @inline(__always)
    private static func packed(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64) -> UInt64 {
        var pack = d & dirtyMask
        pack = pack &* 2 &+ (c & dirtyMask)
        pack = pack &* 2 &+ (b & dirtyMask)
        return pack &* 2 &+ (a & dirtyMask)
    }

    @inline(__always)
    private static func dirty(_ pack: UInt64) -> UInt64 {
        let modifier = UInt64(LeafAttributes.dirtyBitModifier.trailingZeroBitCount)
        let readOnly = UInt64(LeafAttributes.readOnly.trailingZeroBitCount)
        return pack & (pack &>> modifier) & ~(pack &>> readOnly) & 0xf
    }

    @inline(__always)
    private static func clean(_ words: UnsafeMutablePointer<UInt64>, _ bits: UInt8) {
        var remaining = UInt32(bits)
        while remaining != 0 {
            words[remaining.trailingZeroBitCount] |= LeafAttributes.readOnly
            remaining &= remaining &- 1
        }
    }

    /// Names what has to be invalidated of eight pages.
    @inline(never)
    private func name(_ bits: UInt8, from start: UInt64, in gather: inout InvalidationGather) {
        if bits == 0xff { return gather.add(start, bytes: format.granule &* 8, shift: format.granuleBits) }
        for page in 0..<UInt64(8) where bits &>> UInt8(page) & 1 != 0 {
            gather.add(start &+ page &* format.granule, bytes: format.granule, shift: format.granuleBits)
        }
    }
}
