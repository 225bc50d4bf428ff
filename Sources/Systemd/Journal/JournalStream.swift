import Glibc

/// The stream that systemd connects to a service's standard output or error, as `$JOURNAL_STREAM` names it.
public struct JournalStream: Sendable, Equatable {
    /// Device number of the socket that the stream is.
    public let device: UInt64
    /// Inode number of that socket.
    public let inode: UInt64

    /// Reads `device:inode`, both decimal.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let device = UInt64(parts[0]), let inode = UInt64(parts[1]) else { return nil }
        self.device = device
        self.inode = inode
    }

    /// Whether `descriptor` is this stream. The variable alone proves nothing: it survives `2>file`.
    public func matches(descriptor: CInt) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        return UInt64(status.st_dev) == device && UInt64(status.st_ino) == inode
    }

    /// Whether standard error goes to journald, so that a program can send structured entries there instead of lines.
    public static var isStandardError: Bool {
        guard let text = Environment.value("JOURNAL_STREAM"), let stream = JournalStream(text) else { return false }
        return stream.matches(descriptor: STDERR_FILENO)
    }
}
