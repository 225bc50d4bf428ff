import CSystemd
import Glibc
import LinuxIO

/// Where journal entries go: journald, or a recording sink in tests.
public protocol JournalSink: Sendable {
    /// Sends one entry.
    func send(_ entry: JournalEntry) throws(SystemError)
}

/// journald's native protocol through `sd_journal_sendv`: no format strings, no quoting, any bytes.
public struct Journal: JournalSink {
    /// Creates the sink. The connection belongs to libsystemd and to the whole process.
    public init() {}

    /// Sends one entry; a machine without journald drops it silently, as libsystemd does.
    public func send(_ entry: JournalEntry) throws(SystemError) {
        let fields = entry.allFields.map(\.bytes)
        let result = Self.withVectors(fields) { vectors in
            sd_journal_sendv(vectors.baseAddress, CInt(clamping: vectors.count))
        }
        try SystemError.check(result, "write to the journal")
    }

    /// Calls `body` with one vector per field, all over one buffer that lives as long as the call.
    static func withVectors<Result>(
        _ fields: [[UInt8]], _ body: (UnsafeBufferPointer<iovec>) -> Result
    ) -> Result {
        var bytes = Array(fields.joined())
        return bytes.withUnsafeMutableBytes { buffer in
            var vectors: [iovec] = []
            vectors.reserveCapacity(fields.count)
            var offset = 0
            for field in fields {
                let start = field.isEmpty ? nil : buffer.baseAddress.map { $0 + offset }
                vectors.append(iovec(iov_base: start, iov_len: field.count))
                offset += field.count
            }
            return vectors.withUnsafeBufferPointer(body)
        }
    }
}
