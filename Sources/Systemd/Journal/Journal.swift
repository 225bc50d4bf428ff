import Glibc
import LinuxIO

/// Where journal entries go: journald, or a recording sink in tests.
public protocol JournalSink: Sendable {
    /// Sends one entry.
    func send(_ entry: JournalEntry) throws(SystemError)
}

/// journald's native protocol, one datagram an entry: no format strings, no quoting, any bytes.
///
/// Not `sd_journal_sendv`, which waits while journald is behind: nobody should have to wait for a log.
public struct Journal: JournalSink {
    private static let program = CommandLine.arguments.first?.split(separator: "/").last.map(String.init) ?? "swift"
    private let address: String

    /// Creates the sink.
    ///
    /// - Parameter address: the path of journald's socket.
    public init(address: String = "/run/systemd/journal/socket") { self.address = address }

    /// Sends one entry, its values no longer than `journalctl` shows in every format; one for which journald has no
    /// room is left out and counted (``LeftOutEntries``), and so are all on a machine without journald.
    public func send(_ entry: JournalEntry) throws(SystemError) {
        do {
            var fields = entry.allFields
            if entry.identifier == nil { fields.append(JournalField(trustedName: "SYSLOG_IDENTIFIER", Self.program)) }
            try DatagramSocket().send(Self.message(fields.map(\.shortened)), to: address)
        } catch {
            LeftOutEntries.add()
            if ![EAGAIN, ECONNREFUSED, ENOENT].contains(error.errno) { throw error }
        }
    }

    /// `NAME=value` a line; a value with line feeds as `NAME`, its length in eight bytes, lowest first, and its bytes.
    static func message(_ fields: [JournalField]) -> [UInt8] {
        var bytes: [UInt8] = []
        for field in fields {
            if field.value.utf8.contains(UInt8(ascii: "\n")) {
                bytes += Array(field.name.utf8) + [UInt8(ascii: "\n")]
                withUnsafeBytes(of: UInt64(field.value.utf8.count).littleEndian) { bytes += Array($0) }
                bytes += Array(field.value.utf8)
            } else {
                bytes += field.bytes
            }
            bytes.append(UInt8(ascii: "\n"))
        }
        return bytes
    }
}
