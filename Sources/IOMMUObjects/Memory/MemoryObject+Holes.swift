import Glibc
import IOMMU

/// Pages that do not exist before somebody writes them.
extension MemoryObject {
    /// Puts pages that do not exist yet, and which a write would make, on the account of whoever imported the memory.
    ///
    /// - Throws: `EDQUOT`.
    package func payForHoles(offset: UInt64, length: UInt64) throws(IOMMUError) {
        guard let payer, isWritable, length > 0, offset <= size, length <= size &- offset else { return }
        // Holes that the client makes again and again are never more than all of it.
        let holes = min(self.holes(offset: offset, length: length), pages &- filled)
        guard holes > 0 else { return }
        try payer.charge(holes, of: .memoryBytes)
        filled &+= holes
    }

    /// Bytes of pages of a range that do not exist.
    private func holes(offset: UInt64, length: UInt64) -> UInt64 {
        guard let base = pointer ?? lookout else { return 0 }
        var start = offset & ~0xfff
        let end = (offset &+ length &+ 0xfff) & ~0xfff
        var missing = 0
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { residents in
            while start < end, let vector = residents.baseAddress {
                let count = min((end &- start) >> 12, UInt64(residents.count))
                guard mincore(base + Int(start), Int(count) << 12, vector) == 0 else { return }
                for page in residents.prefix(Int(count)) where page & 1 == 0 { missing += 1 }
                start &+= count << 12
            }
        }
        return UInt64(missing) << 12
    }
}
