import CLinux
import Glibc
import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// A number that comes to mean another process, a program that is replaced by another: what was opened stays what it
/// was, or has ended, and is never taken for something else.
@Suite struct AddressSpaceIdentityTests {
    private let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)

    enum Way: CaseIterable { case pid, pidfd, ownFiles }

    /// Starts processes with the numbers they are told to have: `again(n)` is fork that gives the child the number n.
    private static let launcher = """
        import errno
        def again(n):
            number = (ctypes.c_int * 1)(n)
            arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17, 0, 0, 0, ctypes.addressof(number), 1, 0)
            return libc.syscall(435, ctypes.byref(arguments), 88)
        def place(address, n):
            found = libc.mmap(address, n, 3, 0x100022, -1, 0)
            ctypes.memset(found, 1, n)
            return found
        pause = ctypes.cast(libc.pause, ctypes.c_void_p)
        libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        def sharer(): return libc.clone(pause, buffer(1 << 16) + (1 << 16), 0x100 | signal.SIGCHLD, None)

        """

    /// Choosing a number takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE over the pid namespace.
    private static let canChooseNumbers: Bool = {
        guard
            let child = try? PythonProcess(
                launcher + """
                    p = os.fork()
                    if not p: os._exit(0)
                    os.waitpid(p, 0); q = again(p)
                    if q == 0: os._exit(0)
                    say(q == p)
                    """)
        else { return false }
        return (try? child.hear()) == "True"
    }()

    private static let hasSetarch = access("/usr/bin/setarch", X_OK) == 0

    private func open(_ way: Way, _ pid: pid_t, _ context: ObjectContext) throws -> ObjectID {
        switch way {
        case .pid: try context.emulated.openMM(pid: pid, by: me)
        case .pidfd: try context.emulated.openMM(pidfd: owned(clinux_pidfd_open(pid)), by: me)
        case .ownFiles:
            try context.emulated.openMM(mem: owned(file(pid, "mem", O_RDWR)), maps: owned(file(pid, "maps", O_RDONLY)))
        }
    }

    private func file(_ pid: pid_t, _ name: String, _ mode: Int32) -> Int32 {
        Glibc.open("/proc/\(pid)/\(name)", mode | O_CLOEXEC)
    }

    // MARK: Numbers

    /// A process ends, and another one gets its number, with memory at the very same address.
    @Test(
        .enabled(if: canChooseNumbers, "needs CAP_CHECKPOINT_RESTORE to give a process the number of another"),
        arguments: Way.allCases, [true, false])
    func aNumberThatIsGivenOutAgain(way: Way, wasAccessed: Bool) throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let launcher = try PythonProcess(Self.launcher + "while True: exec(hear())")
        let old = try PythonProcess("say(buffer(1 << 16)); hear()")
        let (pid, buffer) = (old.pid, try old.hearAddress())
        let (plain, accelerator) = (try laboratory.bind("0000:03:00.0"), try laboratory.bind("uacce0"))
        let mm = try open(way, pid, context)
        let (bond, pasid, _) = try context.emulated.bindSVA(device: plain, mm: mm)
        let queue = try context.emulated.openQueue(device: accelerator, mm: mm).queue
        _ = try context.emulated.startQueue(queue)
        if wasAccessed { try laboratory.write(plain, pasid: pasid, buffer, [9]) }
        let files = (file(pid, "mem", O_RDWR), file(pid, "maps", O_RDONLY), clinux_pidfd_open(pid))
        old.kill()
        launcher.say("q = again(\(pid)); b = place(\(buffer), 1 << 16) if q == 0 else 0; say(q, os.getpid(), b)")
        // The child speaks first or second; both know the number.
        let words = try [launcher.hear(), launcher.hear()].map { $0.split(separator: " ").map { String($0) } }
        #expect(words.contains { $0 == ["0", "\(pid)", "\(buffer)"] }, "\(words)")
        defer { kill(pid, SIGKILL) }

        // Whatever is known as the old process has ended with it.
        let written = refusal { try laboratory.write(plain, pasid: pasid, buffer, [2]) }
        #expect(written?.errno == .EFAULT && written?.reason == .quiesced)
        let filled = refusal { _ = try laboratory.submit(queue, .fill(destination: buffer, length: 16, value: 2)) }
        #expect(filled?.errno == .ESRCH && filled?.reason == .mmExited)
        #expect(refusal { _ = try context.emulated.bindSVA(device: accelerator, mm: mm) }?.errno == .ESRCH)
        #expect(refusal { _ = try context.emulated.openMM(mem: owned(files.0), maps: owned(files.1)) } != nil)
        #expect(refusal { _ = try context.emulated.openMM(pidfd: owned(files.2), by: me) }?.errno == .ESRCH)

        // The new one is another address space, which nothing has touched.
        let next = try open(way, pid, context)
        #expect(next != mm)
        let bound = try context.emulated.bindSVA(device: plain, mm: next)
        #expect(bound.pasid != pasid && bound.bond != bond)
        #expect(
            try laboratory.read(plain, pasid: bound.pasid, buffer, 1 << 16) == [UInt8](repeating: 1, count: 1 << 16))
        try laboratory.write(plain, pasid: bound.pasid, buffer, [3])
        #expect(refusal { _ = try laboratory.read(plain, pasid: pasid, buffer, 1) }?.reason == .quiesced)
        #expect(try open(way, pid, context) == next)
    }

    /// The old address space lives on in a process that shares it, and the number goes to one that looks exactly alike.
    @Test(
        .enabled(if: canChooseNumbers, "needs CAP_CHECKPOINT_RESTORE to give a process the number of another"),
        arguments: Way.allCases)
    func aTwinWithTheNumber(way: Way) throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let parent = try PythonProcess(
            Self.launcher + """
                a = buffer(4096); say(a); r, w = os.pipe(); p = os.fork()
                if p == 0:
                    say(os.getpid(), sharer()); os.read(r, 1); os._exit(0)
                hear(); os.write(w, b'x'); os.waitpid(p, 0); q = again(p)
                if q == 0:
                    say(os.getpid()); signal.pause()
                hear()
                """)
        let buffer = try parent.hearAddress()
        let numbers = try parent.hear().split(separator: " ").compactMap { pid_t($0) }
        try #require(numbers.count == 2 && numbers[1] > 0)
        let (pid, sharer) = (numbers[0], numbers[1])
        defer { for other in [pid, sharer] { kill(other, SIGKILL) } }
        let device = try laboratory.bind("0000:03:00.0")
        let mm = try open(way, pid, context)
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        try laboratory.write(device, pasid: pasid, buffer, [1])
        parent.say("go")
        #expect(try parent.hear() == "\(pid)")
        let twin = try open(way, pid, context)
        #expect(twin != mm)
        let other = try context.emulated.bindSVA(device: device, mm: twin).pasid
        #expect(try laboratory.read(device, pasid: other, buffer, 1) == [0])
        try laboratory.write(device, pasid: other, buffer, [2])
        #expect(try laboratory.read(device, pasid: pasid, buffer, 1) == [1], "it lives on")
        #expect(try open(way, sharer, context) != twin)
        #expect(try open(way, pid, context) == twin)
    }

    private static let unshare = ["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]

    private static let canUnshare: Bool = {
        guard let child = try? PythonProcess("say(os.getpid())", under: unshare) else { return false }
        return (try? child.hear()) == "1"
    }()

    /// In a pid namespace of its own a process has a number that means another one here.
    @Test(.enabled(if: canUnshare, "needs unshare(1) and the right to make pid namespaces"))
    func aNumberOfAnotherNamespace() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let outer = try PythonProcess("say(os.getpid(), buffer(4096)); hear()", under: Self.unshare)
        let words = try outer.hear().split(separator: " ")
        let buffer = try #require(words.last.flatMap { UInt64($0) })
        #expect(words.first == "1")
        let children = try #require(ProcFile.read("/proc/\(outer.pid)/task/\(outer.pid)/children"))
        let pid = try #require(children.split(separator: " ").first.flatMap { pid_t($0) })
        func file(_ name: String, _ mode: Int32) -> Int32 {
            Glibc.open("/proc/\(pid)/root/proc/1/\(name)", mode | O_CLOEXEC)
        }
        let device = try laboratory.bind("0000:03:00.0")
        let mm = try context.emulated.openMM(mem: owned(file("mem", O_RDWR)), maps: owned(file("maps", O_RDONLY)))
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        try laboratory.write(device, pasid: pasid, buffer, [5])
        #expect(!context.objects().contains { "\($0)".contains("\"pid\"") }, "no number of this namespace")
        #expect(try context.emulated.openMM(mem: owned(file("mem", O_RDWR)), maps: owned(file("maps", O_RDONLY))) == mm)
        let own = Glibc.open("/proc/1/maps", O_RDONLY | O_CLOEXEC)
        #expect(
            refusal { _ = try context.emulated.openMM(mem: owned(file("mem", O_RDWR)), maps: owned(own)) }?.reason
                == .notMemAndMaps)
        let outside = try context.emulated.openMM(pid: pid, by: me)
        let other = try context.emulated.bindSVA(device: device, mm: outside).pasid
        #expect(try laboratory.read(device, pasid: other, buffer, 1) == [5], "the same memory, by its number here")
        kill(pid, SIGKILL)
        outer.reap()
        #expect(refusal { try laboratory.write(device, pasid: pasid, buffer, [6]) }?.reason == .quiesced)
    }

    // MARK: Programs

    /// Another program takes the place of the one that was opened before a device has touched it.
    @Test(arguments: Way.allCases, [true, false])
    func anotherProgramBeforeTheFirstAccess(way: Way, isBound: Bool) throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let child = try PythonProcess(
            """
            say(buffer(4096)); hear()
            os.execv('/usr/bin/python3', ['python3', '-ISc', 'print(1, flush=True); input()'])
            """)
        let buffer = try child.hearAddress()
        let device = try laboratory.bind("0000:03:00.0")
        let mm = try open(way, child.pid, context)
        let pasid = isBound ? try context.emulated.bindSVA(device: device, mm: mm).pasid : 0
        child.say("go")
        #expect(try child.hear() == "1")
        if isBound {
            #expect(refusal { try laboratory.write(device, pasid: pasid, buffer, [1]) }?.reason == .quiesced)
        }
        #expect(refusal { _ = try context.emulated.bindSVA(device: device, mm: mm) }?.errno == .ESRCH)
        let next = try open(way, child.pid, context)
        #expect(next != mm)
        #expect(try context.emulated.bindSVA(device: device, mm: next).pasid != pasid)
    }

    /// Without address space randomisation the next program lies exactly where the last one did, which lives on in a
    /// process that shares its memory.
    @Test(.enabled(if: hasSetarch, "needs setarch to switch address space randomisation off"), arguments: Way.allCases)
    func theSameProgramAtTheSameAddresses(way: Way) throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let child = try PythonProcess(
            Self.launcher + """
                a = buffer(4096); say(a); say(sharer()); hear(); os.execv(sys.orig_argv[0], sys.orig_argv)
                """, under: ["/usr/bin/setarch", "-R"])
        let buffer = try child.hearAddress()
        let sharer = try #require(pid_t(try child.hear()))
        try #require(sharer > 0)
        defer { kill(sharer, SIGKILL) }
        let device = try laboratory.bind("0000:03:00.0")
        let mm = try open(way, child.pid, context)
        let (_, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm)
        try laboratory.write(device, pasid: pasid, buffer, [7])
        child.say("go")
        #expect(try child.hearAddress() == buffer, "the same layout")
        let nextSharer = try #require(pid_t(try child.hear()))
        defer { kill(nextSharer, SIGKILL) }
        let next = try open(way, child.pid, context)
        #expect(next != mm)
        let other = try context.emulated.bindSVA(device: device, mm: next).pasid
        #expect(try laboratory.read(device, pasid: other, buffer, 1) == [0])
        #expect(try laboratory.read(device, pasid: pasid, buffer, 1) == [7], "it lives on")
        try laboratory.write(device, pasid: pasid, buffer, [8])
        #expect(try laboratory.read(device, pasid: other, buffer, 1) == [0])
        #expect(try open(way, child.pid, context) == next)
    }
}
