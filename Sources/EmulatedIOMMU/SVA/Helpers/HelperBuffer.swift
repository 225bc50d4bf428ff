import CLinux
import Glibc
import LinuxIO

/// Memory that the daemon and one helper have in common: the bytes of a piece, and how far the helper is.
final class HelperBuffer {
    private let start: UnsafeMutableRawPointer
    /// What the helper and the daemon say of the present request lies before the data.
    private static let controlSize = 4096
    private static let size = controlSize + Int(DeviceAccess.pieceLength)

    /// Maps what ``make()`` has made.
    init(mapping file: borrowing Descriptor) throws(SystemError) {
        var facts = stat()
        guard fstat(file.number, &facts) == 0, facts.st_size == Self.size else {
            throw SystemError(errno: EINVAL, "map the buffer of a helper")
        }
        var start: UnsafeMutableRawPointer?
        try SystemError.check(clinux_map_file(file.number, UInt64(Self.size), true, &start), "mmap")
        guard let start else { throw SystemError(errno: ENOMEM, "mmap") }
        self.start = start
    }

    deinit { munmap(start, Self.size) }

    /// A file for it, which cannot change its size.
    static func make() throws(SystemError) -> Descriptor {
        let file = try Descriptor(opened: clinux_memfd_create("iommud-helper", false), "memfd_create")
        guard ftruncate(file.number, off_t(size)) == 0 else { throw .current("ftruncate") }
        let seals = CLINUX_SEAL_SHRINK | CLINUX_SEAL_GROW | CLINUX_SEAL_SEAL
        try SystemError.check(clinux_add_seals(file.number, seals), "F_ADD_SEALS")
        return file
    }

    /// The bytes of one piece.
    var data: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: start + Self.controlSize, count: Int(DeviceAccess.pieceLength))
    }

    /// Another number whenever the helper has got on; 0 until it has begun to work.
    var progress: UInt64 { clinux_load64(start) }

    /// The helper says that it has got on.
    func makeProgress() { clinux_store64(start, progress &+ 1) }

    /// The number of the request that nobody wants any more.
    var cancelled: UInt64 {
        get { clinux_load64(start + 8) }
        set { clinux_store64(start + 8, newValue) }
    }
}
