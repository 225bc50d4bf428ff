import CLinux
import Glibc
import IOMMU

/// The address space of a process, opened and known to be what it was asked for.
struct OpenedProcess {
    let memory: ProcessMemory
    /// nil if it belongs to another pid namespace.
    let pid: Int32?
    let startTime: UInt64?
    let layout: ProcessLayout

    private init(memory: ProcessMemory, pid: Int32?) throws(IOMMUError) {
        self.memory = memory
        self.pid = pid
        startTime = pid.flatMap { ProcFile.startTime(of: $0) }
        layout = memory.layout()
        guard memory.isAlive else { throw .mmExited }
    }

    /// Whether a process opened earlier, whose address space still lives and has the same layout, shares it.
    func isSame(as other: AddressSpace) -> Bool {
        guard let pid, let otherPID = other.pid, ProcFile.startTime(of: otherPID) == other.startTime else {
            return false
        }
        if pid == otherPID { return true }
        let comparison = clinux_compare_mm(pid, otherPID)
        if comparison >= 0 { return comparison == 0 }
        // Not permitted to ask: threads of one process share, others are taken not to.
        return access("/proc/\(pid)/task/\(otherPID)", F_OK) == 0
    }
}

// MARK: - By pid

extension OpenedProcess {
    /// - Throws: `ESRCH`, or `EPERM` with what is missing.
    init(pid: Int32, by client: ClientIdentity) throws(IOMMUError) {
        guard pid > 0 else {
            throw IOMMUError(.EINVAL, "bad_pid", "a pid is a positive number", ["pid": .number(UInt64(pid.magnitude))])
        }
        do throws(IOMMUError) {
            try Self.checkOwner(of: pid, client)
            try self.init(memory: try Self.open(pid, client), pid: pid)
            // Whoever was opened still has the identity that was checked, and is not a program run meanwhile.
            try Self.checkOwner(of: pid, client)
        } catch {
            throw error.with("pid", .number(UInt64(pid)))
        }
    }

    /// Takes ownership of `pidfd`.
    init(pidfd: Int32, by client: ClientIdentity) throws(IOMMUError) {
        defer { close(pidfd) }
        let pid = try Self.pid(ofPidfd: pidfd)
        let opened = try OpenedProcess(pid: pid, by: client)
        // Only now is it sure that the number still meant the process of the descriptor.
        guard try Self.pid(ofPidfd: pidfd) == pid else { throw Self.noProcess }
        self = opened
    }

    private static func pid(ofPidfd descriptor: Int32) throws(IOMMUError) -> Int32 {
        guard let content = ProcFile.read("/proc/self/fdinfo/\(descriptor)"),
            let value = ProcFile.values(of: "Pid", in: content)?.first, let pid = Int32(value)
        else {
            throw IOMMUError(
                .EINVAL, "not_a_pidfd", "the descriptor is not a pidfd",
                hint: "send a pidfd, or two descriptors: your own /proc/self/mem and /proc/self/maps"
            )
        }
        guard pid != 0 else {
            throw IOMMUError(
                .EINVAL, "foreign_pid_namespace", "the process is not visible in the daemon's pid namespace",
                hint: "let the process send its own /proc/self/mem and /proc/self/maps"
            )
        }
        guard pid > 0 else { throw noProcess }
        return pid
    }

    private static var noProcess: IOMMUError {
        IOMMUError(.ESRCH, "no_such_process", "there is no such process, or it has already exited")
    }

    /// Real, effective and saved ids of the process are the caller's, and it has an address space.
    private static func checkOwner(of pid: Int32, _ client: ClientIdentity) throws(IOMMUError) {
        guard let status = ProcFile.read("/proc/\(pid)/status"),
            let uids = ProcFile.values(of: "Uid", in: status), let gids = ProcFile.values(of: "Gid", in: status)
        else { throw noProcess }
        guard uids.count >= 3, gids.count >= 3, uids.prefix(3).allSatisfy({ UInt32($0) == client.uid }),
            gids.prefix(3).allSatisfy({ UInt32($0) == client.gid })
        else {
            throw IOMMUError(
                .EPERM, "not_same_user",
                "the process does not have the caller's uid and gid as its real, effective and saved ones",
                hint: "let the process open its own /proc/self/mem and /proc/self/maps and send both",
                ["uid": .number(UInt64(client.uid)), "gid": .number(UInt64(client.gid))]
            )
        }
        guard ProcFile.values(of: "VmSize", in: status) != nil else {
            throw IOMMUError(
                .ESRCH, "mm_exited", "the process has no address space: it has exited, or is of the kernel")
        }
    }

    private static func open(_ pid: Int32, _ client: ClientIdentity) throws(IOMMUError) -> ProcessMemory {
        client.uid == getuid() && client.gid == getgid() ? try openAsOwnUser(pid) : try openAsUser(of: client, pid)
    }

    /// The kernel judges by the daemon's ids, which are the client's, without its capabilities.
    private static func openAsOwnUser(_ pid: Int32) throws(IOMMUError) -> ProcessMemory {
        try checkDumpable(pid)
        let mem = Glibc.open("/proc/\(pid)/mem", O_RDWR | O_CLOEXEC)
        guard mem >= 0 else { throw refusal(Glibc.errno, pid) }
        let maps = Glibc.open("/proc/\(pid)/maps", O_RDONLY | O_CLOEXEC)
        guard maps >= 0 else {
            let code = Glibc.errno
            close(mem)
            throw refusal(code, pid)
        }
        let memory = ProcessMemory(mem: mem, maps: maps)
        // Between the check and the opening it may have become another program.
        try checkDumpable(pid)
        guard memory.isConsistent else { throw noProcess }
        return memory
    }

    private static func checkDumpable(_ pid: Int32) throws(IOMMUError) {
        switch clinux_may_read(pid) {
        case 0: return
        case -Glibc.ESRCH: throw noProcess
        default: throw notDumpable
        }
    }

    /// Lets the kernel decide as if the client itself opened the files; `mem` needs more under Yama.
    private static func openAsUser(of client: ClientIdentity, _ pid: Int32) throws(IOMMUError) -> ProcessMemory {
        let (memPath, mapsPath) = ("/proc/\(pid)/mem", "/proc/\(pid)/maps")
        var mem = clinux_open_as(memPath, O_RDWR, client.uid, client.gid)
        let isOwnRight = mem >= 0
        if mem == -Glibc.ENOTSUP || mem == -Glibc.EACCES || mem == -Glibc.EPERM {
            let privileged = Glibc.open(memPath, O_RDWR | O_CLOEXEC)
            mem = privileged >= 0 ? privileged : -Glibc.errno
        }
        guard mem >= 0 else { throw refusal(-mem, pid) }
        // Opened with the daemon's rights, `mem` may only be used if the client could at least read `maps`: that takes
        // the same ids and a dumpable process, and Yama has no say in it.
        var maps = clinux_open_as(mapsPath, O_RDONLY, client.uid, client.gid)
        if maps == -Glibc.ENOTSUP, isOwnedVisibly(mapsPath, by: client) {
            let plain = Glibc.open(mapsPath, O_RDONLY | O_CLOEXEC)
            maps = plain >= 0 ? plain : -Glibc.errno
        }
        guard maps >= 0 else {
            close(mem)
            if maps == -Glibc.EACCES || maps == -Glibc.EPERM || maps == -Glibc.ENOTSUP { throw notDumpable }
            throw refusal(-maps, pid)
        }
        let memory = ProcessMemory(mem: mem, maps: maps)
        guard isOwnRight || memory.isConsistent else { throw noProcess }
        return memory
    }

    /// The files of a process that is not dumpable belong to root.
    private static func isOwnedVisibly(_ path: String, by client: ClientIdentity) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_uid == client.uid && status.st_gid == client.gid
    }

    private static var notDumpable: IOMMUError {
        IOMMUError(
            .EPERM, "not_dumpable", "the process is not dumpable, so that nobody may look into it",
            hint: "prctl(PR_SET_DUMPABLE, 1) in the process, or let it send its own /proc/self/mem and /proc/self/maps"
        )
    }

    private static func refusal(_ code: Int32, _ pid: Int32) -> IOMMUError {
        guard code == Glibc.EACCES || code == Glibc.EPERM else {
            return code == Glibc.EMFILE || code == Glibc.ENFILE
                ? IOMMUError(.EMFILE, "no_descriptors", "the daemon has no descriptor left") : noProcess
        }
        let scope = ProcFile.read("/proc/sys/kernel/yama/ptrace_scope").flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
        let grant = "let the process send its own /proc/self/mem and /proc/self/maps: that needs no privilege"
        if scope > 0 {
            return IOMMUError(
                .EPERM, "yama_ptrace_scope",
                "Yama (kernel.yama.ptrace_scope = \(scope)) keeps the daemon out of the process",
                hint: "give the daemon CAP_SYS_PTRACE, or \(grant)", ["ptrace_scope": .number(UInt64(scope))]
            )
        }
        guard clinux_can_ptrace() else {
            return IOMMUError(
                .EPERM, "no_cap_sys_ptrace", "the daemon runs without CAP_SYS_PTRACE and may not look into the process",
                hint: "give the daemon CAP_SYS_PTRACE, or \(grant)"
            )
        }
        return IOMMUError(
            .EPERM, "ptrace_refused", "the kernel's security policy keeps the daemon out of the process", hint: grant)
    }
}

// MARK: - By the client's own files

extension OpenedProcess {
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
        let pid = Self.verifiedPID(directory, mem)
        let memory = ProcessMemory(mem: mem, maps: maps)
        guard memory.isAlive else { throw .mmExited }
        guard memory.isConsistent else { throw Self.notMemAndMaps }
        try self.init(memory: memory, pid: pid)
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

    private static var notMemAndMaps: IOMMUError {
        IOMMUError(
            .EINVAL, "not_mem_and_maps", "the two descriptors are not the mem and maps files of one process",
            hint: "open /proc/self/mem (O_RDWR) and /proc/self/maps in the process and send both in this order"
        )
    }
}

extension ProcessMemory {
    /// Whether `mem` and `maps` show the same living address space, and `mem` is what it claims to be: nothing can be
    /// read at 0, and the areas of `maps` can.
    var isConsistent: Bool {
        let sample = try? sampleArea()
        guard let sample else { return false }
        var bytes: UInt32 = 0
        let isThere = withUnsafeMutableBytes(of: &bytes) { buffer in
            (try? read(sample.address, into: buffer)) != nil
        }
        var nothing: UInt8 = 0
        let isEmptyAtZero = withUnsafeMutableBytes(of: &nothing) { buffer in
            do throws(Failure) {
                try read(0, into: buffer)
                return false
            } catch {
                return error == .unreachable(0)
            }
        }
        return isThere && isEmptyAtZero && (!sample.isELF || UInt32(littleEndian: bytes) == 0x464c_457f)
    }

    /// The vDSO, whose first bytes are known; else any readable area.
    private func sampleArea() throws(Failure) -> (address: UInt64, isELF: Bool)? {
        let layout = layout()
        if layout.vdso != 0 { return (layout.vdso, true) }
        var next: UInt64 = layout.first
        while let area = try area(at: next) {
            if area.isReadable { return (area.start, false) }
            next = area.end
        }
        return nil
    }
}
