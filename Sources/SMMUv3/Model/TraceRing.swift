/// The last commands or events with their sequence numbers.
public struct TraceRing<Record: Sendable>: Sendable {
    /// Records kept.
    public static var capacity: Int { 1024 }

    private var records: [Record] = []
    /// The sequence number of the next record; the first is 1.
    public private(set) var next: UInt64 = 1

    /// Keeps a record, forgetting the oldest.
    mutating func append(_ record: Record) {
        let slot = Int(truncatingIfNeeded: (next &- 1) % UInt64(Self.capacity))
        if slot < records.count {
            records[slot] = record
        } else {
            records.append(record)
        }
        next &+= 1
    }

    /// The records with sequence numbers from `since` on, oldest first, as far as they are still kept.
    public func records(since: UInt64, limit: Int) -> [(sequence: UInt64, record: Record)] {
        let oldest = next - UInt64(records.count)
        let first = max(since, oldest)
        guard first < next, limit > 0 else {
            return []
        }
        let last = min(next, first + UInt64(min(limit, records.count)))
        return (first..<last).map { ($0, records[Int(($0 - 1) % UInt64(Self.capacity))]) }
    }
}
