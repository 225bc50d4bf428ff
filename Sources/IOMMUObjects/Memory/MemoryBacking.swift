import CLinux
import Glibc
import LinuxIO
import Synchronization

/// What a memory object holds of the system: its descriptor and what is mapped of it. Any thread may let go of it, so
/// that nobody waits while gigabytes are given back.
final class MemoryBacking: Sendable {
    /// The number of its descriptor, to use while it is held.
    let descriptor: Int32
    private let held: Mutex<Descriptor?>
    /// Address and bytes; 0 bytes: nothing.
    private let mapped: Mutex<(start: UInt, length: Int)>

    init(_ file: consuming Descriptor, mapped pointer: UnsafeMutableRawPointer?, length: UInt64) {
        descriptor = file.number
        held = Mutex(consume file)
        mapped = Mutex((UInt(bitPattern: pointer), pointer == nil ? 0 : Int(length)))
    }

    deinit { release() }

    /// The same file once more.
    func duplicate() throws(SystemError) -> Descriptor {
        try Descriptor(opened: clinux_duplicate(descriptor), "duplicate a descriptor")
    }

    /// So much is unmapped at a time, since whoever maps something else has to wait meanwhile.
    private static let piece = 4 << 20

    /// Lets go of all of it.
    func release() {
        let (start, length) = mapped.withLock { mapped in
            defer { mapped = (0, 0) }
            return mapped
        }
        var done = 0
        while done < length, let pointer = UnsafeMutableRawPointer(bitPattern: start + UInt(done)) {
            var count = min(Self.piece, length - done)
            // Huge pages may be larger than a piece.
            if munmap(pointer, count) != 0 {
                count = length - done
                munmap(pointer, count)
            }
            done += count
        }
        held.withLock { $0 = nil }
    }
}
