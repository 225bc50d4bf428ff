import Glibc

/// A system call that failed.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Positive errno.
    public let errno: Int32
    /// What was tried: `"bind /run/x.sock"`.
    public let operation: String

    /// A failure with a positive errno.
    public init(errno: Int32, _ operation: String) {
        self.errno = errno
        self.operation = operation
    }

    /// The failure that errno stands for at this moment.
    static func current(_ operation: String) -> SystemError { SystemError(errno: Glibc.errno, operation) }

    /// What was tried, and what the system says.
    public var description: String { "\(operation): \(String(cString: strerror(errno)))" }
}
