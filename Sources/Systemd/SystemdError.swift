import Glibc

/// A failure of libsystemd or of the system call below it.
public struct SystemdError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The Linux errno, positive.
    public let errno: CInt
    /// What was being done, as the end of the sentence "cannot …".
    public let operation: String

    /// Creates an error from a positive errno.
    public init(errno: CInt, operation: String) {
        self.errno = errno
        self.operation = operation
    }

    public var description: String {
        "cannot \(operation): \(String(cString: strerror(errno)))"
    }

    /// Turns libsystemd's convention (negative errno on failure) into a throw; returns the value otherwise.
    @discardableResult
    static func check(_ result: CInt, _ operation: @autoclosure () -> String) throws(SystemdError) -> CInt {
        guard result >= 0 else { throw SystemdError(errno: -result, operation: operation()) }
        return result
    }
}
