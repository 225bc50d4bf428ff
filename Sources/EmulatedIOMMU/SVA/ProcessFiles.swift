import CLinux
import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO

/// The kernel as it is asked about other processes: their files in procfs, and what the daemon may. Every such call
/// goes through here; whether it is permitted is the kernel's to say.
package protocol ProcessFiles: Sendable {
    // MARK: By path

    /// As open(2) with the daemon's rights, closed on exec. - Throws: the errno of open(2).
    func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor
    /// As if the client opened it, with its ids and no capabilities, closed on exec.
    ///
    /// - Throws: the errno of open(2); `ENOTSUP` if the daemon cannot take the client's ids.
    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) throws(SystemError) -> Descriptor
    /// A small text file. - Throws: the errno of open(2).
    func read(_ path: String) throws(SystemError) -> String
    /// stat(2); nil if there is no such file, or it is hidden.
    func facts(_ path: String) -> ProcessFileFacts?

    // MARK: Open files

    /// fstat(2)
    func facts(ofDescriptor descriptor: Int32) -> ProcessFileFacts?
    /// The path that it was opened by.
    func link(ofDescriptor descriptor: Int32) -> String?
    /// O_RDONLY, O_WRONLY or O_RDWR; nil if it is not open.
    func accessMode(ofDescriptor descriptor: Int32) -> Int32?
    /// It lies in a procfs.
    func isOfProcfs(_ descriptor: Int32) -> Bool
    /// pread(2). - Returns: bytes, 0 at the end, or a negative errno.
    func read(_ descriptor: Int32, at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int
    /// pwrite(2). - Returns: bytes, 0 if the address space has ended, or a negative errno.
    func write(_ descriptor: Int32, at address: UInt64, from buffer: UnsafeRawBufferPointer) -> Int
    /// Whether the address space of a writable `mem` has users: 1 or 0, or a negative errno. Never waits for it.
    func probe(mem: Int32) -> Int32
    /// PROCMAP_QUERY: the area that covers an address. - Returns: 0 and the area, or an errno: `ENOENT` for none,
    /// `ESRCH` after the end of the address space, `ENOTTY` where the kernel does not know the question.
    func area(maps: Int32, at address: UInt64) -> (errno: Int32, area: ProcessArea?)

    // MARK: Processes

    /// There is a process or thread with this number.
    func exists(_ pid: Int32) -> Bool
    /// Whether the daemon's user may look into a process without any capability: 0, or a negative errno.
    func mayRead(_ pid: Int32) -> Int32
    /// The daemon has CAP_SYS_PTRACE.
    var mayTrace: Bool { get }
    /// kcmp(KCMP_VM): 0 the same address space, > 0 different ones, a negative errno if it may not be asked.
    func compareMM(_ first: Int32, _ second: Int32) -> Int32
}

/// What stat(2) says of a file.
package struct ProcessFileFacts: Sendable, Equatable {
    /// Which file it is. For a file of a process: which process, as long as the file is open.
    package struct Identity: Sendable, Equatable {
        /// st_dev
        package var device: UInt64
        /// st_ino
        package var inode: UInt64
    }

    /// Which file it is.
    package var identity: Identity
    /// Its owner: of a file in `/proc/PID` the user of a dumpable process, else root.
    package var uid: UInt32
    /// Its group.
    package var gid: UInt32
    /// Neither a pipe nor a socket, a device or a folder.
    package var isRegular: Bool
}

/// The kernel itself.
struct KernelProcessFiles: ProcessFiles {
    func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        try Descriptor(opening: path, flags)
    }

    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) throws(SystemError) -> Descriptor {
        try Descriptor(opened: clinux_open_as(path, flags, client.uid, client.gid), "open \(path)")
    }

    func read(_ path: String) throws(SystemError) -> String { try ProcFile.content(path) }

    func facts(_ path: String) -> ProcessFileFacts? {
        var status = stat()
        return stat(path, &status) == 0 ? ProcessFileFacts(status) : nil
    }

    func facts(ofDescriptor descriptor: Int32) -> ProcessFileFacts? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? ProcessFileFacts(status) : nil
    }

    func link(ofDescriptor descriptor: Int32) -> String? { linkTarget(ofDescriptor: descriptor) }

    func accessMode(ofDescriptor descriptor: Int32) -> Int32? {
        let flags = fcntl(descriptor, F_GETFL)
        return flags >= 0 ? flags & O_ACCMODE : nil
    }

    func isOfProcfs(_ descriptor: Int32) -> Bool {
        clinux_filesystem(descriptor) == Int64(CLINUX_PROC_SUPER_MAGIC)
    }

    func read(_ descriptor: Int32, at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = pread(descriptor, buffer.baseAddress, buffer.count, off_t(bitPattern: address))
        return count >= 0 ? count : -Int(Glibc.errno)
    }

    func write(_ descriptor: Int32, at address: UInt64, from buffer: UnsafeRawBufferPointer) -> Int {
        let count = pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(bitPattern: address))
        return count >= 0 ? count : -Int(Glibc.errno)
    }

    func probe(mem: Int32) -> Int32 { clinux_probe_mm(mem) }

    func area(maps: Int32, at address: UInt64) -> (errno: Int32, area: ProcessArea?) {
        var area = clinux_vma()
        let code = clinux_query_vma(maps, address, false, &area, nil, 0)
        guard code == 0 else { return (-code, nil) }
        return (
            0,
            ProcessArea(
                start: area.start, end: area.end, isReadable: area.readable, isWritable: area.writable)
        )
    }

    func exists(_ pid: Int32) -> Bool { kill(pid, 0) == 0 || Glibc.errno != Glibc.ESRCH }
    func mayRead(_ pid: Int32) -> Int32 { clinux_may_read(pid) }
    var mayTrace: Bool { clinux_can_ptrace() }
    func compareMM(_ first: Int32, _ second: Int32) -> Int32 { clinux_compare_mm(first, second) }
}

extension ProcessFileFacts {
    fileprivate init(_ status: stat) {
        self.init(
            identity: Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino)), uid: status.st_uid,
            gid: status.st_gid, isRegular: status.st_mode & S_IFMT == S_IFREG)
    }
}

extension off_t {
    /// Addresses of the upper half are negative offsets, which procfs takes as they are.
    fileprivate init(bitPattern address: UInt64) { self = off_t(Int64(bitPattern: address)) }
}
