import Glibc
import IOMMU
import LinuxIO

// MARK: - By pid

extension ProcessCandidate {
    /// - Throws: `ESRCH`, or `EPERM` with what is missing.
    init(
        pid: Int32, by client: ClientIdentity, files: any ProcessFiles = KernelProcessFiles()
    ) throws(IOMMUError) {
        guard pid > 0 else { throw Self.noProcess(pid) }
        do throws(IOMMUError) {
            try Self.checkOwner(of: pid, client, files)
            (memory, self.pid) = (try Self.open(pid, client, files), pid)
            (self.client, pidfd, self.files) = (client, nil, files)
        } catch {
            throw error.with("pid", .number(UInt64(pid)))
        }
    }

    /// By a pidfd.
    init(
        pidfd: consuming Descriptor, by client: ClientIdentity, files: any ProcessFiles = KernelProcessFiles()
    ) throws(IOMMUError) {
        let pid = try Self.pid(ofPidfd: pidfd.number, files)
        let candidate = try ProcessCandidate(pid: pid, by: client, files: files)
        (memory, self.pid, self.client) = (candidate.memory, candidate.pid, client)
        self.pidfd = SharedDescriptor(pidfd)
        self.files = files
    }

    /// What the kernel says that a descriptor stands for; nil if it is no pidfd.
    static func numbers(ofPidfd descriptor: Int32, _ files: any ProcessFiles) -> [Substring]? {
        (try? files.read("/proc/self/fdinfo/\(descriptor)")).flatMap { ProcFile.values(of: "Pid", in: $0) }
    }

    static func pid(ofPidfd descriptor: Int32, _ files: any ProcessFiles) throws(IOMMUError) -> Int32 {
        guard let value = numbers(ofPidfd: descriptor, files)?.first, let pid = Int32(value) else {
            throw IOMMUError(
                .EINVAL, .notMemAndMaps, "the descriptor is neither a pidfd nor a file of a process",
                hint: "send a pidfd, or two descriptors: your own /proc/self/mem and /proc/self/maps"
            )
        }
        guard pid != 0 else {
            throw IOMMUError(
                .EINVAL, .foreignPidNamespace, "the process is not visible in the daemon's pid namespace",
                hint: "let the process send its own /proc/self/mem and /proc/self/maps"
            )
        }
        guard pid > 0 else { throw noProcess(nil) }
        return pid
    }

    private static func hidden(_ pid: Int32) -> IOMMUError {
        IOMMUError(
            .EPERM, .processHidden, "the daemon's /proc does not show process \(pid), which is another user's",
            hint: "run the daemon with ProtectProc=default (hidepid=0), or \(grant)"
        )
    }

    /// What works without privileges.
    private static var grant: String {
        "let the process send its own /proc/self/mem and /proc/self/maps: that needs no privilege"
    }

    static func noProcess(_ pid: Int32?) -> IOMMUError {
        IOMMUError(
            .ESRCH, .noSuchProcess,
            pid.map { "there is no process \($0), or it has exited" } ?? "the process has exited",
            hint: "name a process that runs, in the daemon's pid namespace")
    }

    /// Real, effective and saved ids of the process are the caller's, and it has an address space.
    static func checkOwner(
        of pid: Int32, _ client: ClientIdentity, _ files: any ProcessFiles
    ) throws(IOMMUError) {
        let status: String
        do throws(SystemError) {
            status = try files.read("/proc/\(pid)/status")
        } catch {
            throw error.isLackOfDescriptors ? .noDescriptors : files.exists(pid) ? hidden(pid) : noProcess(pid)
        }
        guard let uids = ProcFile.values(of: "Uid", in: status), let gids = ProcFile.values(of: "Gid", in: status)
        else { throw files.exists(pid) ? hidden(pid) : noProcess(pid) }
        guard uids.count >= 3, gids.count >= 3, uids.prefix(3).allSatisfy({ UInt32($0) == client.uid }),
            gids.prefix(3).allSatisfy({ UInt32($0) == client.gid })
        else {
            throw IOMMUError(
                .EPERM, .notSameUser,
                "process \(pid) does not have the caller's uid \(client.uid) and gid \(client.gid) as all of its ids",
                hint: "let the process open its own /proc/self/mem and /proc/self/maps and send both",
                ["uid": .number(UInt64(client.uid)), "gid": .number(UInt64(client.gid))]
            )
        }
        guard ProcFile.values(of: "VmSize", in: status) != nil else {
            throw IOMMUError(
                .ESRCH, .mmExited, "process \(pid) has no address space: it has exited, or is of the kernel",
                hint: "name a process that runs a program")
        }
    }

    private static func open(
        _ pid: Int32, _ client: ClientIdentity, _ files: any ProcessFiles
    ) throws(IOMMUError) -> ProcessMemory {
        isOwnUser(client) ? try openAsOwnUser(pid, files) : try openAsUser(of: client, pid, files)
    }

    static func isOwnUser(_ client: ClientIdentity) -> Bool { client.uid == getuid() && client.gid == getgid() }

    /// The kernel judges by the daemon's ids, which are the client's, without its capabilities.
    private static func openAsOwnUser(
        _ pid: Int32, _ files: any ProcessFiles
    ) throws(IOMMUError) -> ProcessMemory {
        try checkDumpable(pid, files)
        do throws(SystemError) {
            let mem = try files.open("/proc/\(pid)/mem", O_RDWR)
            return ProcessMemory(mem: mem, maps: try files.open("/proc/\(pid)/maps", O_RDONLY), files: files)
        } catch {
            throw refusal(error.errno, pid, files)
        }
    }

    static func checkDumpable(_ pid: Int32, _ files: any ProcessFiles) throws(IOMMUError) {
        switch files.mayRead(pid) {
        case 0: return
        case -Glibc.ESRCH: throw noProcess(pid)
        default: throw notDumpable(pid)
        }
    }

    /// Lets the kernel decide as if the client itself opened the files; `mem` needs more under Yama.
    private static func openAsUser(
        of client: ClientIdentity, _ pid: Int32, _ files: any ProcessFiles
    ) throws(IOMMUError) -> ProcessMemory {
        let mem = try openMem(of: client, pid, files)
        // Opened with the daemon's rights, `mem` may only be used if the client could at least read `maps`: that takes
        // the same ids and a dumpable process, and Yama has no say in it.
        return ProcessMemory(mem: mem, maps: try openMaps(of: client, pid, files), files: files)
    }

    private static func openMem(
        of client: ClientIdentity, _ pid: Int32, _ files: any ProcessFiles
    ) throws(IOMMUError) -> Descriptor {
        let path = "/proc/\(pid)/mem"
        do throws(SystemError) {
            do throws(SystemError) {
                return try files.open(path, O_RDWR, as: client)
            } catch  where isRefused(error) {
                return try files.open(path, O_RDWR)
            }
        } catch {
            throw refusal(error.errno, pid, files)
        }
    }

    private static func openMaps(
        of client: ClientIdentity, _ pid: Int32, _ files: any ProcessFiles
    ) throws(IOMMUError) -> Descriptor {
        let path = "/proc/\(pid)/maps"
        do throws(SystemError) {
            do throws(SystemError) {
                return try files.open(path, O_RDONLY, as: client)
            } catch  where error.errno == Glibc.ENOTSUP && isOwnedVisibly(path, by: client, files) {
                return try files.open(path, O_RDONLY)
            }
        } catch {
            throw isRefused(error) ? notDumpable(pid) : refusal(error.errno, pid, files)
        }
    }

    /// By the client's rights; the daemon's may be others.
    private static func isRefused(_ error: SystemError) -> Bool {
        [Glibc.ENOTSUP, Glibc.EACCES, Glibc.EPERM].contains(error.errno)
    }

    /// The files of a process that is not dumpable belong to root.
    private static func isOwnedVisibly(
        _ path: String, by client: ClientIdentity, _ files: any ProcessFiles
    ) -> Bool {
        files.facts(path).map { $0.uid == client.uid && $0.gid == client.gid } ?? false
    }

    private static func notDumpable(_ pid: Int32) -> IOMMUError {
        IOMMUError(
            .EPERM, .notDumpable,
            "process \(pid) is not dumpable, or holds capabilities that the daemon does not",
            hint:
                "call prctl(PR_SET_DUMPABLE, 1) in it, or let it send its own /proc/self/mem and /proc/self/maps"
        )
    }

    private static func refusal(_ code: Int32, _ pid: Int32, _ files: any ProcessFiles) -> IOMMUError {
        guard code == Glibc.EACCES || code == Glibc.EPERM else {
            return SystemError(errno: code, "open").isLackOfDescriptors ? .noDescriptors : noProcess(pid)
        }
        let setting = try? files.read("/proc/sys/kernel/yama/ptrace_scope")
        let scope = setting.flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
        if scope > 0 {
            return IOMMUError(
                .EPERM, .yamaPtraceScope,
                "the kernel's Yama (kernel.yama.ptrace_scope = \(scope)) keeps the daemon out of process \(pid)",
                hint: "give the daemon CAP_SYS_PTRACE, or \(grant)", ["ptrace_scope": .number(UInt64(scope))]
            )
        }
        guard files.mayTrace else {
            return IOMMUError(
                .EPERM, .noCapSysPtrace, "the daemon runs without CAP_SYS_PTRACE and may not look into process \(pid)",
                hint: "give the daemon CAP_SYS_PTRACE, or \(grant)"
            )
        }
        return IOMMUError(
            .EPERM, .ptraceRefused, "the kernel keeps the daemon out of process \(pid)",
            hint: "give the daemon CAP_DAC_OVERRIDE besides CAP_SYS_PTRACE, or \(grant)"
        )
    }
}

extension SystemError {
    /// The process or the system has no descriptor left: EMFILE, ENFILE.
    var isLackOfDescriptors: Bool { errno == Glibc.EMFILE || errno == Glibc.ENFILE }
}
