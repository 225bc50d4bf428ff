import Glibc

/// A file descriptor with one owner: closed when it is dropped.
public struct Descriptor: ~Copyable, Sendable {
    /// The number, to use while the owner lives.
    public let number: Int32

    /// Takes over an open descriptor.
    public init(adopting number: Int32) { self.number = number }

    deinit { _ = close(number) }

    /// Gives up ownership: the caller closes the number.
    public consuming func take() -> Int32 {
        let number = number
        discard self
        return number
    }
}
