import CLinux
import Glibc
import IOMMU

// MARK: - By the client's own files

extension ProcessCandidate {
    /// Takes ownership of both, which may come in either order.
    init(mem first: Int32, maps second: Int32) throws(IOMMUError) {
        var (mem, maps) = (first, second)
        if linkTarget(ofDescriptor: first)?.hasSuffix("/maps") == true { swap(&mem, &maps) }
        let directory = Self.processDirectory(of: mem, file: "mem")
        guard let directory, directory == Self.processDirectory(of: maps, file: "maps"), Self.isReadable(mem),
            Self.isReadable(maps), Self.device(of: mem) == Self.device(of: maps)
        else {
            close(mem)
            close(maps)
            throw Self.notMemAndMaps
        }
        pid = Self.verifiedPID(directory, mem)
        memory = ProcessMemory(mem: mem, maps: maps)
        (client, pidfd, files) = (nil, nil, KernelProcessFiles())
    }

    /// The part of the path that names the process: both files have the same.
    private static func processDirectory(of descriptor: Int32, file: String) -> String? {
        guard clinux_filesystem(descriptor) == UInt64(CLINUX_PROC_SUPER_MAGIC),
            let path = linkTarget(ofDescriptor: descriptor), path.hasSuffix("/" + file)
        else { return nil }
        let directory = path.dropLast(file.utf8.count + 1)
        guard let last = directory.split(separator: "/").last, Int32(last) != nil else { return nil }
        return String(directory)
    }

    private static func isReadable(_ descriptor: Int32) -> Bool {
        let mode = fcntl(descriptor, F_GETFL)
        return mode >= 0 && mode & O_ACCMODE != O_WRONLY
    }

    private static func device(of descriptor: Int32) -> dev_t? {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return status.st_dev
    }

    /// The number means the same process here if our own procfs shows the very same file.
    private static func verifiedPID(_ directory: String, _ mem: Int32) -> Int32? {
        var (own, given) = (stat(), stat())
        guard let number = directory.split(separator: "/").last, let pid = Int32(number),
            stat("/proc/\(pid)/mem", &own) == 0, fstat(mem, &given) == 0,
            own.st_dev == given.st_dev, own.st_ino == given.st_ino
        else { return nil }
        return pid
    }

    static var notMemAndMaps: IOMMUError {
        IOMMUError(
            .EINVAL, "not_mem_and_maps", "the two descriptors are not the mem and maps files of one process",
            hint: "open /proc/self/mem (O_RDWR) and /proc/self/maps in the process and send both in this order"
        )
    }
}
