import CLinux
import Glibc
import IOMMU
import LinuxIO
import Synchronization

extension MemoryObject {
    /// What a client's descriptor is, once it is known to be a memfd.
    struct Facts {
        let size: UInt64
        let seals: Int32
        let isWritable: Bool
        let isHuge: Bool

        /// - Throws: `EINVAL` for anything but a readable memfd that is not empty, `EMFILE` where it takes a descriptor
        ///   to find out and there is none.
        init(_ descriptor: Int32) throws(IOMMUError) {
            seals = clinux_get_seals(descriptor)
            var status = stat()
            let mode = fcntl(descriptor, F_GETFL)
            guard seals >= 0, mode >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
                try Facts.isAnonymous(descriptor, status)
            else { throw Facts.notAMemfd }
            guard mode & O_ACCMODE != O_WRONLY else {
                throw IOMMUError(
                    .EINVAL, .notReadable, "the memfd was opened for writing only",
                    hint: "send one that was opened O_RDWR")
            }
            guard status.st_size > 0 else {
                throw IOMMUError(
                    .EINVAL, .emptyMemory, "the memfd has no bytes", hint: "ftruncate(2) it to its size first")
            }
            size = UInt64(status.st_size)
            isWritable = mode & O_ACCMODE == O_RDWR && seals & (CLINUX_SEAL_WRITE | CLINUX_SEAL_FUTURE_WRITE) == 0
            isHuge = clinux_filesystem(descriptor) == Int64(CLINUX_HUGETLBFS_MAGIC)
        }

        /// Files of a mounted tmpfs answer to F_GET_SEALS too; a memfd is on the kernel's own mount and has no name.
        private static func isAnonymous(_ descriptor: Int32, _ status: stat) throws(IOMMUError) -> Bool {
            guard status.st_nlink == 0 else { return false }
            switch clinux_filesystem(descriptor) {
            case Int64(CLINUX_TMPFS_MAGIC): return status.st_dev == (try kernelMount())
            case Int64(CLINUX_HUGETLBFS_MAGIC):
                return linkTarget(ofDescriptor: descriptor)?.hasPrefix("/memfd:") == true
            default: return false
            }
        }

        /// The device number that every memfd of ordinary pages has, once a probe could be made.
        private static let knownMount = Mutex<dev_t?>(nil)

        /// A probe that fails for want of a descriptor is made again: remembered, it would refuse all memory for good.
        private static func kernelMount() throws(IOMMUError) -> dev_t {
            if let known = knownMount.withLock({ $0 }) { return known }
            let number = clinux_memfd_create("iommud-probe", false)
            guard number >= 0 else {
                throw .noDescriptors
            }
            let probe = Descriptor(adopting: number)
            var status = stat()
            guard fstat(probe.number, &status) == 0 else { throw notAMemfd }
            let device = status.st_dev
            knownMount.withLock { $0 = device }
            return device
        }

        private static var notAMemfd: IOMMUError {
            IOMMUError(
                .EINVAL, .notAMemfd, "the descriptor is not one of a memfd",
                hint: "create the memory with memfd_create(2); for guest memory use memory-backend-memfd"
            )
        }
    }
}

/// What `/proc/self/fd/N` points at; nil without procfs.
package func linkTarget(ofDescriptor descriptor: Int32) -> String? {
    SmallFile.target(ofLink: "/proc/self/fd/\(descriptor)")
}
