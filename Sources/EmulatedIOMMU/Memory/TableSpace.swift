import CLinux
import Glibc
import IOMMU
import LinuxIO

/// Address space of the daemon that is kept for tables and queues. It reads as zeros; ``TableRAM`` makes it writable
/// piece by piece as it is needed, so that what is not used counts neither as memory nor as a promise of it.
package final class TableSpace {
    let memory: UnsafeMutableRawPointer
    /// Bytes, a power of two.
    let size: UInt64

    /// Bytes reserved where nothing says otherwise. Blocks of one size never become blocks of a larger one: the space
    /// is far larger than what may be used of it.
    package static let standard: UInt64 = 64 << 30
    /// Bytes reserved for a machine beside many others in one process: 47 bits of addresses hold 2,048 of the standard.
    package static let modest: UInt64 = 4 << 30
    /// The least that a machine starts with.
    package static let smallest: UInt64 = 16 << 20

    /// - Parameters:
    ///   - bytes: what is wanted, rounded down to a power of two. Less where RLIMIT_AS leaves less for all else, where
    ///     the machine has so little memory that most of it could never be used, or where the system refuses.
    ///   - reserve: maps so many bytes, or refuses.
    /// - Throws: `ENOMEM` if not even ``smallest`` can be had.
    init(
        bytes: UInt64, reserve: (UInt64) -> UnsafeMutableRawPointer? = TableSpace.reserve
    ) throws(IOMMUError) {
        var size = Self.powerOfTwo(atMost: min(bytes, Self.allowed, 16 * Self.usable))
        size = max(size, Self.smallest)
        while true {
            if let memory = reserve(size) {
                self.memory = memory
                self.size = size
                return
            }
            guard size > Self.smallest else { throw Self.refused }
            size /= 2
        }
    }

    deinit { munmap(memory, Int(size)) }

    /// Nil where the system refuses.
    static func reserve(_ bytes: UInt64) -> UnsafeMutableRawPointer? {
        var start: UnsafeMutableRawPointer?
        return clinux_reserve(bytes, &start) == 0 ? start : nil
    }

    /// Bytes of tables and queues that a machine of this size bears.
    static var usable: UInt64 {
        max(InstalledMemory.bytes / 4, 64 << 20)
    }

    /// A quarter of what RLIMIT_AS lets the daemon map: memory of clients is mapped, too.
    private static var allowed: UInt64 {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return .max }
        return UInt64(limit.rlim_cur) / 4
    }

    private static func powerOfTwo(atMost bytes: UInt64) -> UInt64 {
        1 << UInt64(63 - max(bytes, 1).leadingZeroBitCount)
    }

    private static var refused: IOMMUError {
        IOMMUError(
            .ENOMEM, .noTableMemory, "the address space for translation tables cannot be reserved",
            hint: "raise the daemon's limit of address space (RLIMIT_AS, `ulimit -v`)")
    }
}
