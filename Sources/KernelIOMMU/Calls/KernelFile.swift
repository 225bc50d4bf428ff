import Glibc
import LinuxIO
import Synchronization

/// An open file of the kernel's, closed where it is said and not where the last reference happens to go: closing an
/// iommufd or a device can take a minute.
package final class KernelFile: Sendable {
    private let open: Atomic<Int32>
    /// The number, to use until ``end()``.
    package let number: Int32

    /// Takes the descriptor over.
    package init(_ descriptor: consuming Descriptor) {
        number = descriptor.take()
        open = Atomic(number)
    }

    /// Closes it; a second time does nothing.
    package func end() {
        let number = open.exchange(-1, ordering: .acquiringAndReleasing)
        if number >= 0 { _ = close(number) }
    }

    deinit { end() }
}
