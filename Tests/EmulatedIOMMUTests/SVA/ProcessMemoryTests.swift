import CLinux
import Glibc
import IOMMU
import LinuxIO
import TestSupport
import Testing

@testable import EmulatedIOMMU

extension OpenedProcess {
    fileprivate init(pid: Int32, by client: ClientIdentity) throws(IOMMUError) {
        self = try ProcessCandidate(pid: pid, by: client).examine().get()
    }

    fileprivate init(pidfd: consuming Descriptor, by client: ClientIdentity) throws(IOMMUError) {
        self = try ProcessCandidate(pidfd: pidfd, by: client).examine().get()
    }

    fileprivate init(mem: consuming Descriptor, maps: consuming Descriptor) throws(IOMMUError) {
        self = try ProcessCandidate(mem: mem, maps: maps).examine().get()
    }
}

@Suite struct ProcessMemoryTests {
    private let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)

    @Test(arguments: [false, true])
    func areasSayWhatIsPermitted(parsesMaps: Bool) throws {
        let child = try PythonProcess(
            """
            a = buffer(3 << 12); libc.mprotect(a, 4096, 1); libc.mprotect(a + 4096, 4096, 0)
            ctypes.memset(a + 8192, 65, 4096)
            say(a); hear()
            """)
        let base = try child.hearAddress()
        let memory = ProcessMemory(
            mem: owned(open("/proc/\(child.pid)/mem", O_RDWR)), maps: owned(open("/proc/\(child.pid)/maps", O_RDONLY)),
            parsesMaps: parsesMaps)
        #expect(memory.isAlive)
        #expect(memory.hasQuery != parsesMaps)
        // One page to be read, one for nothing, one for both.
        try memory.check(base, length: 4096, .read) {}
        try memory.check(base + 8192, length: 4096, [.read, .write]) {}
        #expect(throws: ProcessMemory.Failure.denied(base)) { try memory.check(base, length: 1, .write) {} }
        #expect(throws: ProcessMemory.Failure.denied(base + 4096)) { try memory.check(base, length: 8192, .read) {} }
        #expect(throws: ProcessMemory.Failure.unreachable(0)) { try memory.check(0, length: 1, .read) {} }
        #expect(try memory.area(at: base)?.isWritable == false)
        #expect(try memory.area(at: base + 4096)?.isReadable == false)
        #expect(try memory.area(at: base + 8192)?.isWritable == true)
        #expect(try memory.area(at: 0) == nil)
        #expect(throws: ProcessMemory.Failure.denied(base)) { try memory.check(base, length: 1, write: true) }
        #expect(throws: ProcessMemory.Failure.denied(base + 4096)) {
            try memory.check(base, length: 8192, write: false)
        }
        try memory.check(base + 8192, length: 4096, write: true)
        var bytes = [UInt8](repeating: 0, count: 4)
        try bytes.withUnsafeMutableBytes { try memory.read(base + 8192, into: $0) }
        #expect(bytes == [65, 65, 65, 65])
        let layout = try memory.layout()
        #expect(memory.isConsistent(layout))
        #expect(layout.stackEnd != 0 && layout.vdso != 0 && layout.seed != 0)
        #expect(memory.isConsistent(ProcessLayout()), "without a vDSO any area will do")

        child.kill()
        #expect(!memory.isAlive)
        #expect(throws: ProcessMemory.Failure.gone) { try memory.check(base + 8192, length: 1, write: false) }
        #expect(throws: ProcessMemory.Failure.gone) {
            try bytes.withUnsafeMutableBytes { try memory.read(base + 8192, into: $0) }
        }
    }

    /// What tells program images apart is found behind long environments, and differs from one process to the next.
    @Test(arguments: [0, 10_000, 100_000])
    func everyImageHasASeed(environment: Int) throws {
        let layouts = try (0..<2).map { _ in
            let child = try PythonProcess(
                "say('up'); hear()", under: ["/usr/bin/env", "X=" + String(repeating: "x", count: environment)])
            #expect(try child.hear() == "up")
            let layout = try OpenedProcess(pid: child.pid, by: me).layout
            #expect(try OpenedProcess(pid: child.pid, by: me).layout == layout)
            return layout
        }
        #expect(layouts[0].seed != 0 && layouts[1].seed != 0 && layouts[0].seed != layouts[1].seed)
    }

    @Test func readOnlyMemFilesAreProbedTooAndNeverWritten() throws {
        let child = try PythonProcess("a = buffer(4096); say(a); hear()")
        let base = try child.hearAddress()
        let memory = ProcessMemory(
            mem: owned(open("/proc/\(child.pid)/mem", O_RDONLY)),
            maps: owned(open("/proc/\(child.pid)/maps", O_RDONLY)))
        #expect(!memory.isWritable && memory.isAlive)
        try memory.check(base, length: 4096, write: false)
        #expect(throws: ProcessMemory.Failure.denied(base)) { try memory.check(base, length: 1, write: true) }
        child.kill()
        #expect(!memory.isAlive)
    }

    @Test func execEndsTheAddressSpace() throws {
        let child = try PythonProcess(
            "say('up'); hear(); os.execv('/usr/bin/python3', ['python3', '-ISc', 'print(1, flush=True); input()'])")
        _ = try child.hear()
        let before = try OpenedProcess(pid: child.pid, by: me)
        child.say("go")
        #expect(try child.hear() == "1")
        #expect(!before.memory.isAlive)
        let after = try OpenedProcess(pid: child.pid, by: me)
        #expect(after.memory.isAlive)
        #expect(after.layout != before.layout)
    }

    @Test func whoMayOpenIsDecidedByTheKernelInTheClientsName() throws {
        let child = try PythonProcess("say('up'); hear(); libc.prctl(4, 0, 0, 0, 0); say('closed'); hear()")
        _ = try child.hear()
        _ = try OpenedProcess(pid: child.pid, by: me)
        let other = ClientIdentity(uid: getuid() + 12345, gid: getgid(), pid: 1, isAdmin: false)
        let foreign = refusal { _ = try OpenedProcess(pid: child.pid, by: other) }
        #expect(foreign?.errno == .EPERM && foreign?.reason == .notSameUser)
        child.say("prctl(PR_SET_DUMPABLE, 0)")
        _ = try child.hear()
        let closed = refusal { _ = try OpenedProcess(pid: child.pid, by: me) }
        #expect(closed?.errno == .EPERM && closed?.reason == .notDumpable)
        #expect(closed?.hint != nil)
        #expect(open("/proc/self/status", O_RDONLY) >= 0, "the daemon's own identity is back")
        child.kill()
        #expect(refusal { _ = try OpenedProcess(pid: child.pid, by: me) }?.errno == .ESRCH)
        #expect(refusal { _ = try OpenedProcess(pid: -1, by: me) }?.reason == .noSuchProcess)
        #expect(refusal { _ = try OpenedProcess(pid: 2, by: me) }.map { [.ESRCH, .EPERM].contains($0.errno) } == true)
    }

    @Test func aDifferentUserIsOpenedWithThatUsersRights() throws {
        guard getuid() == 0 else { return }
        let child = try PythonProcess(
            """
            os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
            libc.prctl(4, 1, 0, 0, 0); say('up'); hear(); libc.prctl(4, 0, 0, 0, 0); say('closed'); hear()
            """)
        _ = try child.hear()
        let owner = ClientIdentity(uid: 4242, gid: 4242, pid: child.pid, isAdmin: false)
        #expect(try OpenedProcess(pid: child.pid, by: owner).memory.isAlive)
        #expect(refusal { _ = try OpenedProcess(pid: child.pid, by: me) }?.reason == .notSameUser)
        child.say("x")
        _ = try child.hear()
        #expect(refusal { _ = try OpenedProcess(pid: child.pid, by: owner) }?.reason == .notDumpable)
        #expect(geteuid() == 0)
    }

    @Test func pidfdsNameProcesses() throws {
        let child = try PythonProcess("say('up'); hear()")
        _ = try child.hear()
        func pidfd() -> Int32 { clinux_pidfd_open(child.pid) }
        #expect(try OpenedProcess(pidfd: owned(pidfd()), by: me).pid == child.pid)
        #expect(
            refusal { _ = try OpenedProcess(pidfd: owned(open("/dev/null", O_RDONLY)), by: me) }?.reason
                == .notMemAndMaps)
        let late = pidfd()
        child.kill()
        #expect(refusal { _ = try OpenedProcess(pidfd: owned(late), by: me) }?.errno == .ESRCH)
    }

    @Test func ownFilesAreAGrant() throws {
        let child = try PythonProcess("say('up'); hear()")
        let other = try PythonProcess("say('up'); hear()")
        _ = try (child.hear(), other.hear())
        func file(_ name: String, _ process: PythonProcess, _ mode: Int32 = O_RDONLY) -> Int32 {
            open("/proc/\(process.pid)/\(name)", mode)
        }
        let opened = try OpenedProcess(mem: owned(file("mem", child, O_RDWR)), maps: owned(file("maps", child)))
        #expect(opened.pid == child.pid && opened.memory.isWritable)
        let swapped = try OpenedProcess(mem: owned(file("maps", child)), maps: owned(file("mem", child)))
        #expect(swapped.pid == child.pid && !swapped.memory.isWritable)
        let wrong: [(Int32, Int32)] = [
            (file("mem", child), file("maps", other)), (file("mem", child), file("smaps", child)),
            (file("status", child), file("maps", child)), (open("/dev/zero", O_RDWR), file("maps", child)),
            (file("mem", child), file("mem", child)), (file("mem", child, O_WRONLY), file("maps", child)),
            (clinux_memfd_create("mem", false), file("maps", child)), (-1, -1),
        ]
        for (mem, maps) in wrong {
            #expect(refusal { _ = try OpenedProcess(mem: owned(mem), maps: owned(maps)) }?.reason == .notMemAndMaps)
        }
        let (mem, maps) = (file("mem", child), file("maps", child))
        child.kill()
        #expect(refusal { _ = try OpenedProcess(mem: owned(mem), maps: owned(maps)) }?.errno == .ESRCH)
    }

    @Test func linesOfMapsAreParsed() {
        func parse(_ line: String) -> (ProcessArea, ArraySlice<UInt8>)? { MapsFile.parse(Array(line.utf8)[...]) }
        let stack = parse("7ffd1000-7ffd3000 rw-p 00000000 00:00 0                          [stack]")
        #expect(stack?.0 == ProcessArea(start: 0x7ffd_1000, end: 0x7ffd_3000, isReadable: true, isWritable: true))
        #expect(stack.map { String(decoding: $0.1, as: UTF8.self) } == "[stack]")
        #expect(parse("1000-2000 ---p 00000000 00:00 0")?.0.isReadable == false)
        for line in [
            "", "x", "1000-2000", "2000-1000 r--p 0 0 0", "1000-2000 r-p 0 0 0", "10000000000000000-2 r--p 0 0 0",
        ] {
            #expect(parse(line) == nil)
        }
    }
}
