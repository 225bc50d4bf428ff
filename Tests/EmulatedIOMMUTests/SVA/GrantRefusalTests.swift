import CLinux
import Glibc
import IOMMU
import LinuxIO
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// A daemon that may not look into a process says what it lacks, and what to do.
@Suite struct GrantRefusalTests {
    struct Case: CustomTestStringConvertible {
        let reason: Reason
        let errno: Errno
        let files: UnprivilegedProcessFiles
        /// What the hint names.
        let remedy: String
        var testDescription: String { reason.slug }
    }

    static let own: [Case] = [
        Case(
            reason: .noCapSysPtrace, errno: .EPERM, files: .init([.status, .maps]), remedy: "CAP_SYS_PTRACE"),
        Case(
            reason: .noCapSysPtrace, errno: .EPERM, files: .init([.status, .mem], scope: 0),
            remedy: "/proc/self/mem"),
        Case(
            reason: .yamaPtraceScope, errno: .EPERM, files: .init([.status, .maps], scope: 1),
            remedy: "CAP_SYS_PTRACE"),
        Case(
            reason: .yamaPtraceScope, errno: .EPERM, files: .init([.status, .ptrace], scope: 3),
            remedy: "/proc/self/mem"),
        Case(
            reason: .ptraceRefused, errno: .EPERM, files: .init([.status, .ptrace]), remedy: "CAP_DAC_OVERRIDE"),
        Case(reason: .processHidden, errno: .EPERM, files: .init([.mem, .maps, .ptrace]), remedy: "ProtectProc"),
        Case(reason: .noDescriptors, errno: .EMFILE, files: .init([.status, .maps], errno: EMFILE), remedy: ""),
        Case(reason: .noSuchProcess, errno: .ESRCH, files: .init([.status, .mem], errno: ESRCH), remedy: ""),
    ]

    /// Of another user: with the client's identity, or by the daemon's own rights after a look at who owns the files.
    static let others: [Case] = [
        Case(reason: .noCapSysPtrace, errno: .EPERM, files: .init([.status, .maps]), remedy: "CAP_SYS_PTRACE"),
        Case(
            reason: .yamaPtraceScope, errno: .EPERM, files: .init([.status, .maps], scope: 2),
            remedy: "CAP_SYS_PTRACE"),
        Case(reason: .notDumpable, errno: .EPERM, files: .init([.status, .mem]), remedy: "PR_SET_DUMPABLE"),
        Case(reason: .processHidden, errno: .EPERM, files: .init([.identities, .mem, .maps]), remedy: "ProtectProc"),
    ]

    private func check(_ it: Case, uid: uid_t, program: String) throws {
        let child = try PythonProcess(program + "say('up'); hear()")
        _ = try child.hear()
        let bench = try UnwindingBench()
        bench.backend.sva.processFiles = it.files
        let before = bench.state
        let client = ClientIdentity(uid: uid, gid: uid == getuid() ? getgid() : uid, pid: getpid(), isAdmin: false)
        let descriptors = [child.pid].map { clinux_pidfd_open($0) }
        for error in [
            refusal { _ = try bench.context.emulated.openMM(pid: child.pid, by: client) },
            refusal { _ = try bench.context.emulated.openMM(pidfd: owned(descriptors[0]), by: client) },
        ] {
            #expect(error?.errno == it.errno && error?.reason == it.reason, "\(error.map { "\($0)" } ?? "")")
            #expect(it.remedy.isEmpty || error?.hint.contains(it.remedy) == true, "\(error?.hint ?? "")")
        }
        #expect(bench.state == before)
        #expect(GrantUnwindingTests.descriptors(of: [child.pid]).isEmpty)
        // The process's own files need none of it.
        let files = ["mem", "maps"].map { open("/proc/\(child.pid)/\($0)", O_RDONLY | O_CLOEXEC) }
        _ = try bench.context.emulated.openMM(mem: owned(files[0]), maps: owned(files[1]))
    }

    @Test(arguments: own)
    func whatIsMissingIsNamed(it: Case) throws { try check(it, uid: getuid(), program: "") }

    @Test(.enabled(if: getuid() == 0, "needs root to start a process of another user"), arguments: others)
    func whatIsMissingForOtherUsersIsNamed(it: Case) throws {
        try check(
            it, uid: 4242,
            program: """
                os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
                libc.prctl(4, 1, 0, 0, 0)

                """)
    }

    /// Pages that only the process itself could fill, through userfaultfd, are out of a device's reach.
    private static let userfault = """
        import fcntl, struct
        u = libc.syscall(323 if os.uname().machine == 'x86_64' else 282, 0x80000)
        a = buffer(4 * 4096)
        def ask(number, *words):
            try: return fcntl.ioctl(u, number, struct.pack('%dQ' % len(words), *words)) != b''
            except OSError: return False
        ok = u >= 0 and ask(0xc018aa3f, 0xaa, 0, 0) and ask(0xc020aa00, a, 4096, 1, 0)

        """

    private static let hasUserfault: Bool = {
        guard let child = try? PythonProcess(userfault + "say(ok)") else { return false }
        return (try? child.hear()) == "True"
    }()

    @Test(
        .enabled(if: hasUserfault, "needs userfaultfd(2)"), arguments: SharedAddressTests.devices)
    func pagesBehindUserfaultfdFailTheAccess(name: String) throws {
        let child = try PythonProcess(Self.userfault + "say(a); hear()")
        let buffer = try child.hearAddress()
        let laboratory = try Laboratory()
        let device = try laboratory.bind(name)
        let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)
        let mm = try laboratory.context.emulated.openMM(pid: child.pid, by: me)
        let (_, pasid, _) = try laboratory.context.emulated.bindSVA(device: device, mm: mm)
        _ = laboratory.takeEvents()
        #expect(refusal { try laboratory.write(device, pasid: pasid, buffer, [1]) }?.errno == .EFAULT)
        #expect(refusal { _ = try laboratory.read(device, pasid: pasid, buffer, 1) }?.errno == .EFAULT)
        #expect(laboratory.takeEvents().isEmpty, "nothing is logged")
        try laboratory.write(device, pasid: pasid, buffer + 4096, [1])
        #expect(laboratory.context.emulated.bonds().first?.state == "live")
    }
}
