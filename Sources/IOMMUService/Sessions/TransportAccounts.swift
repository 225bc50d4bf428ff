import IOMMU
import JSONRPC

/// What users' connections hold of the transport's memory: one account for each user who has a connection.
struct TransportAccounts {
    private var byUser: [UInt32: (bytes: ClientBytes, connections: Int)] = [:]

    /// The account of a user who has one more connection.
    mutating func open(_ account: Account, _ limits: LimitsConfiguration) -> ClientBytes {
        var entry = byUser[account.uid] ?? (Self.bytes(of: account), 0)
        entry.connections += 1
        apply(limits, to: entry.bytes)
        byUser[account.uid] = entry
        return entry.bytes
    }

    private static func bytes(of account: Account) -> ClientBytes {
        let bytes = ClientBytes(unsentLimit: 0, unfinishedLimit: 0)
        bytes.takeDescriptor = { account.take(1, of: .descriptors, always: $0) }
        bytes.giveBackDescriptors = { account.release(UInt64($0), of: .descriptors) }
        return bytes
    }

    /// One connection fewer.
    mutating func close(_ uid: UInt32) {
        byUser[uid] = byUser[uid].flatMap { $0.connections > 1 ? ($0.bytes, $0.connections - 1) : nil }
    }

    /// Holds from now on for everybody.
    func apply(_ limits: LimitsConfiguration) {
        for entry in byUser.values { apply(limits, to: entry.bytes) }
    }

    /// Bytes that have not been sent.
    var unsentBytes: UInt64 { UInt64(clamping: byUser.values.reduce(0) { $0 + $1.bytes.unsent }) }
    /// Bytes of requests that have not been carried out.
    var unfinishedBytes: UInt64 { UInt64(clamping: byUser.values.reduce(0) { $0 + $1.bytes.unfinished }) }

    /// One line can always be sent.
    private func apply(_ limits: LimitsConfiguration, to bytes: ClientBytes) {
        bytes.unsentLimit = limits.unsentBytes
        bytes.unfinishedLimit = max(limits.unfinishedBytes, 2 * limits.messageBytes)
    }
}
