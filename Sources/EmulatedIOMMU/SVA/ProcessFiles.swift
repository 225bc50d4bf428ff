import CLinux
import Glibc
import IOMMU

/// How the files of processes in procfs are opened: whether the daemon may is the kernel's to say.
package protocol ProcessFiles: Sendable {
    /// As open(2) with the daemon's rights. - Returns: a descriptor that closes on exec, or a negative errno.
    func open(_ path: String, _ flags: Int32) -> Int32
    /// As if the client opened it, with its ids and no capabilities. - Returns: as ``open(_:_:)``; `-ENOTSUP` if the
    /// daemon cannot take the client's ids.
    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) -> Int32
    /// A small text file; nil if it cannot be read.
    func read(_ path: String) -> String?
}

/// The kernel's own procfs.
struct KernelProcessFiles: ProcessFiles {
    func open(_ path: String, _ flags: Int32) -> Int32 {
        let descriptor = Glibc.open(path, flags | O_CLOEXEC)
        return descriptor >= 0 ? descriptor : -Glibc.errno
    }

    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) -> Int32 {
        clinux_open_as(path, flags, client.uid, client.gid)
    }

    func read(_ path: String) -> String? { ProcFile.read(path) }
}
