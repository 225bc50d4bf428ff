import SMMUv3

/// The translations that a device with ATS keeps (its ATC): a few, the oldest replaced first.
///
/// Only CMD_ATC_INV makes it forget, so that one that is missing shows: the device goes on to reach what it reached.
final class TranslationCache {
    private struct Entry {
        let pasid: UInt32?
        /// Of the page; input and output are aligned to its size.
        let input: UInt64
        let output: UInt64
        let pageSize: UInt64
        let access: Access
    }

    static let capacity = 64
    private var entries: [Entry] = []
    private var oldest = 0

    /// Where an access goes by what is known, and how large the page is.
    func output(for address: UInt64, pasid: UInt32?, _ access: Access) -> (address: UInt64, pageSize: UInt64)? {
        let entry = entries.first {
            $0.input == address & ~($0.pageSize &- 1) && $0.pasid == pasid && $0.access == access
        }
        guard let entry else { return nil }
        return (entry.output | address & (entry.pageSize &- 1), entry.pageSize)
    }

    /// Keeps what a Translation Completion grants for the kind of access that was asked for.
    func insert(_ output: Output, for address: UInt64, pasid: UInt32?, _ access: Access) {
        let pageSize = max(output.pageSize, 4096)
        let entry = Entry(
            pasid: pasid, input: address & ~(pageSize &- 1), output: output.address & ~(pageSize &- 1),
            pageSize: pageSize, access: access)
        if entries.count < Self.capacity {
            entries.append(entry)
        } else {
            entries[oldest] = entry
            oldest = (oldest + 1) % Self.capacity
        }
    }

    /// An Invalidation Request without PASID concerns the range whatever the PASID, one with it only what belongs to it
    /// (PCIe 10.3.8).
    func invalidate(_ invalidation: ATCInvalidation) {
        entries.removeAll { entry in
            guard invalidation.substreamID == nil || invalidation.substreamID == entry.pasid else { return false }
            let bits = max(UInt64(invalidation.log2Size), UInt64(entry.pageSize.trailingZeroBitCount))
            return bits >= 64 || entry.input >> bits == invalidation.address >> bits
        }
        oldest = 0
    }
}
