import CLinux
import Glibc

/// A file descriptor with one owner: closed when it is dropped, and not before.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, to use while the owner lives.
    public let number: Int32

    /// Takes over an open descriptor.
    public init(adopting number: Int32) { self.number = number }

    /// Takes over what a call has opened, or throws the negative errno that it returned instead.
    public init(opened result: Int32, _ operation: @autoclosure () -> String) throws(SystemError) {
        self.init(adopting: try SystemError.check(result, operation()))
    }

    /// open(2), closed on exec.
    public init(opening path: String, _ flags: Int32) throws(SystemError) {
        let number = open(path, flags | O_CLOEXEC)
        guard number >= 0 else { throw .current("open \(path)") }
        self.init(adopting: number)
    }

    deinit { _ = close(number) }

    /// The same open file once more, closed on exec (F_DUPFD_CLOEXEC).
    public func duplicate() throws(SystemError) -> Descriptor {
        try Descriptor(opened: clinux_duplicate(number), "duplicate a descriptor")
    }

    /// Gives up ownership: the caller closes the number.
    public consuming func take() -> Int32 {
        let number = number
        discard self
        return number
    }
}

/// A file descriptor with several holders: closed when the last of them drops it.
public final class SharedDescriptor: Sendable {
    private let descriptor: Descriptor

    /// The first holder.
    public init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// The number, to use while held.
    public var number: Int32 { descriptor.number }

    /// The same open file once more, closed on exec (F_DUPFD_CLOEXEC).
    public func duplicate() throws(SystemError) -> Descriptor { try descriptor.duplicate() }
}
