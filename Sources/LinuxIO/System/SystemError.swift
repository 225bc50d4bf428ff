import Glibc

/// A system call, or a call of a system library, that failed.
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
    public static func current(_ operation: String) -> SystemError {
        SystemError(errno: Glibc.errno, operation)
    }

    /// The result of a call that says what went wrong as a negative errno; throws that.
    @discardableResult
    public static func check(_ result: Int32, _ operation: @autoclosure () -> String) throws(SystemError) -> Int32 {
        guard result >= 0 else { throw SystemError(errno: -result, operation()) }
        return result
    }

    /// What was tried, and what the system says.
    public var description: String { "\(operation): \(String(cString: strerror(errno)))" }
}
