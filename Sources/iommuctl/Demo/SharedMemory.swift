import CLinux
import Glibc
import LinuxIO

/// A memfd of this program: memory that it can pass to the daemon by descriptor.
final class SharedMemory {
    private let file: Descriptor
    /// The number of its descriptor.
    var descriptor: Int32 { file.number }
    let size: Int

    /// - Parameter size: bytes; all zero at first.
    init(name: String, size: Int) throws(Failure) {
        do throws(SystemError) {
            file = try Descriptor(opened: clinux_memfd_create(name, false), "create a memfd")
            guard ftruncate(file.number, size) == 0 else { throw .current("size a memfd") }
        } catch {
            throw .usage("cannot \(error)")
        }
        self.size = size
        // Memory that cannot shrink is memory that the daemon can map without risk.
        _ = clinux_add_seals(descriptor, CLINUX_SEAL_SHRINK)
    }

    /// Bytes as they are now, as many of them as there are.
    func read(at offset: Int, count: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let read = pread(descriptor, &bytes, count, off_t(offset))
        return Array(bytes.prefix(max(0, read)))
    }
}
