import CLinux
import Glibc

/// A memfd mapped into this process: what a client shares with the daemon.
package final class SharedMemory {
    /// The memfd; open as long as this object lives.
    package let descriptor: Int32
    /// The whole of it.
    package let bytes: UnsafeMutableRawBufferPointer

    /// Zeros, sealed as asked for (`CLINUX_SEAL_…`).
    package init(size: Int, seals: Int32 = 0) throws {
        descriptor = clinux_memfd_create("client", false)
        guard descriptor >= 0, ftruncate(descriptor, off_t(size)) == 0,
            seals == 0 || clinux_add_seals(descriptor, seals) == 0,
            let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), address != MAP_FAILED
        else { throw Unexpected("no shared memory: \(String(cString: strerror(errno)))") }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: size)
    }

    deinit {
        munmap(bytes.baseAddress, bytes.count)
        close(descriptor)
    }

    /// The little-endian word at a byte offset.
    package func word(_ offset: Int) -> UInt64 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }

    /// Stores a little-endian word at a byte offset.
    package func setWord(_ offset: Int, _ value: UInt64) {
        bytes.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
    }

    /// Some bytes as UTF-8.
    package func text(_ offset: Int, _ count: Int) -> String {
        String(decoding: bytes[offset..<offset + count], as: UTF8.self)
    }
}

/// Something that a test relies on, or expects, is not so.
package struct Unexpected: Error, CustomStringConvertible {
    package let description: String

    /// A sentence for whoever reads the failure.
    package init(_ description: String) { self.description = description }
}
