import IOMMU
import SMMUv3

/// The last event records, with sequence numbers from 1.
package struct EventTrace {
    /// One record.
    package struct Entry {
        /// Its number, from 1.
        package let sequence: UInt64
        /// What the SMMU wrote.
        package let record: EventRecord
        /// What lay behind it when it was taken in; nil: not known.
        package let cause: FaultCause?
    }

    private static let capacity = 1024
    private var entries: [Entry] = []
    private(set) var recorded: UInt64 = 0

    mutating func append(_ record: EventRecord, _ cause: FaultCause?) {
        let entry = Entry(sequence: recorded + 1, record: record, cause: cause)
        if entries.count < Self.capacity {
            entries.append(entry)
        } else {
            entries[Int(recorded % UInt64(Self.capacity))] = entry
        }
        recorded += 1
    }

    func entries(since sequence: UInt64, limit: Int) -> [Entry] {
        let oldest = recorded - UInt64(entries.count)
        let first = max(oldest, min(sequence, recorded))
        let last = min(recorded, first + UInt64(max(limit, 0)))
        return (first..<last).map { entries[Int($0 % UInt64(Self.capacity))] }
    }
}
