import CLinux
import Glibc

/// A memfd of this program: memory that it can pass to the daemon by descriptor.
final class SharedMemory {
    let descriptor: Int32
    let size: Int

    /// - Parameter size: bytes; all zero at first.
    init(name: String, size: Int) throws(Failure) {
        descriptor = clinux_memfd_create(name, false)
        self.size = size
        guard descriptor >= 0, ftruncate(descriptor, size) == 0 else {
            throw .usage("cannot create a memfd: \(String(cString: strerror(errno)))")
        }
        // Memory that cannot shrink is memory that the daemon can map without risk.
        _ = clinux_add_seals(descriptor, CLINUX_SEAL_SHRINK)
    }

    deinit { close(descriptor) }

    /// Bytes as they are now, as many of them as there are.
    func read(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let read = pread(descriptor, &bytes, count, off_t(offset))
        return Array(bytes.prefix(max(0, read)))
    }
}
