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
        guard var map = bitmap, firstBit & 7 == 0 else { return first }
        var (entry, byte) = (first, Int(truncatingIfNeeded: firstBit >> 3))
        let base = map.start &+ firstBit << UInt64(map.pageShift)
        var found: UInt64 = 0
        while entry &+ 7 <= last, byte < map.bytes.count {
            var bits: UInt8 = 0
            for offset in 0..<8 {
                let isDirty = words[entry &+ offset] & Self.dirtyMask == Self.dirtyValue
                bits |= (isDirty ? 1 : 0) &<< UInt8(truncatingIfNeeded: offset)
            }
            if bits != 0 {
                found &+= UInt64((bits & ~map.bytes[byte]).nonzeroBitCount)
                map.bytes[byte] |= bits
                if clear {
                    for offset in 0..<8 where bits &>> UInt8(truncatingIfNeeded: offset) & 1 != 0 {
                        words[entry &+ offset] |= LeafAttributes.readOnly
                        let page = base &+ UInt64(entry &- first &+ offset) << UInt64(map.pageShift)
                        gather.add(page, bytes: format.granule, shift: format.granuleBits)
                    }
                }
            }
            entry &+= 8
            byte &+= 1
        }
        map.count &+= found
        bitmap = map
        return entry
    }
}
