import Glibc
import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Devices that work in the memory of running processes.
@Suite struct RealProcessTests {
    private let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)

    /// A child with a buffer of 4 MiB, its mm opened and bound.
    private struct Setting {
        let laboratory: Laboratory
        let child: PythonProcess
        let device: ObjectID
        let mm: ObjectID
        let bond: ObjectID
        let pasid: UInt32
        let buffer: UInt64

        init(_ device: String, client: ClientIdentity, program: String = "") throws {
            laboratory = try Laboratory()
            child = try PythonProcess(
                """
                a = buffer(4 << 20)
                say(a)
                while True:
                    line = hear()
                    if not line: break
                    exec(line)
                """)
            buffer = try child.hearAddress()
            self.device = try laboratory.bind(device)
            mm = try laboratory.context.emulated.openMM(pid: child.pid, by: client)
            (bond, pasid, _) = try laboratory.context.emulated.bindSVA(device: self.device, mm: mm)
        }
    }

    @Test(arguments: SharedAddressTests.devices)
    func absentPagesBecomePresent(name: String) throws {
        let it = try Setting(name, client: me)
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 3) }
        try it.laboratory.write(it.device, pasid: it.pasid, it.buffer + 0x1f_f000, bytes)
        it.child.say("say(list(ctypes.string_at(a + 0x1ff000, 10000)) == [(3 * i) & 255 for i in range(10000)])")
        #expect(try it.child.hear() == "True")
        it.child.say("ctypes.memset(a, 7, 4096); say('set')")
        _ = try it.child.hear()
        #expect(
            try it.laboratory.read(it.device, pasid: it.pasid, it.buffer, 4096) == [UInt8](repeating: 7, count: 4096))
        #expect(try it.laboratory.read(it.device, pasid: it.pasid, it.buffer + 0x30_0000, 2) == [0, 0])
    }

    @Test(arguments: SharedAddressTests.devices)
    func changesOfMappingsAreSeenAtTheNextAccess(name: String) throws {
        let it = try Setting(name, client: me)
        try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [1])
        _ = it.laboratory.takeEvents()
        it.child.say("libc.mprotect(a, 4096, 1); say('read-only')")
        _ = try it.child.hear()
        #expect(refusal { try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [2]) }?.errno == .EFAULT)
        #expect(try it.laboratory.read(it.device, pasid: it.pasid, it.buffer, 1) == [1], "the file would have written")
        it.child.say("libc.mprotect(a, 4096, 3); libc.munmap(a + 4096, 4096); say('hole')")
        _ = try it.child.hear()
        try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [3])
        let hole = refusal {
            try it.laboratory.write(it.device, pasid: it.pasid, it.buffer + 4090, [UInt8](repeating: 1, count: 16))
        }
        #expect(hole?.errno == .EFAULT)
        #expect(
            try it.laboratory.read(it.device, pasid: it.pasid, it.buffer + 4090, 6) == [UInt8](repeating: 0, count: 6))
        it.child.say("libc.mprotect(a + 8192, 4096, 0); say('nothing')")
        _ = try it.child.hear()
        #expect(
            refusal { _ = try it.laboratory.read(it.device, pasid: it.pasid, it.buffer + 8192, 1) }?.errno == .EFAULT)
        #expect(refusal { _ = try it.laboratory.read(it.device, pasid: it.pasid, 0, 1) }?.errno == .EFAULT)
        #expect(it.laboratory.takeEvents().isEmpty, "nothing is logged")
    }

    @Test func lookingIntoAProcessIsWorkForAWorker() throws {
        let it = try Setting("0000:03:00.0", client: me)
        let (opened, ended, cancelled) = (Box<ObjectID>(), Box<ObjectID>(), Box<ObjectID>())
        let context = it.laboratory.context
        _ = try context.emulated.openMM(pid: it.child.pid, by: me, completion: opened.take)
        #expect(opened.result == nil)
        #expect(try opened.wait(it.laboratory.executor) == it.mm)
        guard
            case .pending(let access) = try context.emulated.openMM(
                pid: it.child.pid, by: me, completion: cancelled.take)
        else { return #expect(Bool(false), "it waits for a worker") }
        context.emulated.terminate(
            access: access, with: IOMMUError(.ETIMEDOUT, .accessTimedOut, "too late", hint: "this is a test"))
        #expect(refusal { _ = try cancelled.wait(it.laboratory.executor) }?.errno == .ETIMEDOUT)
        _ = try context.emulated.openMM(pid: it.child.pid, by: me, completion: ended.take)
        it.child.kill()
        #expect(refusal { _ = try ended.wait(it.laboratory.executor) }?.errno == .ESRCH)
        #expect(refusal { _ = try context.emulated.openMM(pid: it.child.pid, by: me) { _ in } }?.errno == .ESRCH)
    }

    @Test func exitEndsTheBond() throws {
        let it = try Setting("0000:03:00.0", client: me)
        try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [1])
        #expect(it.laboratory.backend.sva.needsProbing)
        it.child.kill()
        _ = it.laboratory.takeEvents()
        it.laboratory.backend.sva.probeAddressSpaces()
        #expect(it.laboratory.takeEvents().map(\.kind) == [.mmExit, .bond])
        #expect(!it.laboratory.backend.sva.needsProbing)
        #expect(it.laboratory.context.emulated.bonds().first?.state == "quiesced")
        #expect(refusal { _ = try it.laboratory.read(it.device, pasid: it.pasid, it.buffer, 1) }?.reason == .quiesced)
        #expect(try it.laboratory.context.emulated.unbindSVA(bond: it.bond) == 0)
    }

    @Test func execIsNoticedByTheAccessItself() throws {
        let it = try Setting("0000:03:00.0", client: me)
        try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [1])
        it.child.say("os.execv('/usr/bin/python3', ['python3', '-ISc', 'print(1, flush=True); input()'])")
        #expect(try it.child.hear() == "1")
        #expect(refusal { _ = try it.laboratory.read(it.device, pasid: it.pasid, it.buffer, 1) }?.reason == .quiesced)
        #expect(
            refusal { _ = try it.laboratory.context.emulated.bindSVA(device: it.device, mm: it.mm) }?.errno == .ESRCH)
        let next = try it.laboratory.context.emulated.openMM(pid: it.child.pid, by: me)
        #expect(next != it.mm, "the same pid, another address space")
        #expect(try it.laboratory.context.emulated.bindSVA(device: it.device, mm: next).pasid != it.pasid)
    }

    @Test func threadsAndSharersAreOneForksAreNot() throws {
        let it = try Setting("0000:03:00.0", client: me)
        let context = it.laboratory.context
        #expect(try context.emulated.openMM(pid: it.child.pid, by: me) == it.mm)
        it.child.say(
            "import threading; body = lambda: (say(threading.get_native_id()), signal.pause()); "
                + "threading.Thread(target=body, daemon=True).start()"
        )
        let thread = try #require(Int32(try it.child.hear()))
        #expect(try context.emulated.openMM(pid: thread, by: me) == it.mm)
        it.child.say("p = os.fork(); say(p) if p else signal.pause()")
        let fork = try #require(Int32(try it.child.hear()))
        let forked = try context.emulated.openMM(pid: fork, by: me)
        #expect(forked != it.mm)
        let (_, pasid, _) = try context.emulated.bindSVA(device: it.device, mm: forked)
        try it.laboratory.write(it.device, pasid: pasid, it.buffer, [42])
        #expect(try it.laboratory.read(it.device, pasid: it.pasid, it.buffer, 1) == [0], "fork made another")
        it.child.say("os.kill(p, 9); os.waitpid(p, 0); say('ok')")
        _ = try it.child.hear()
        #expect(refusal { _ = try it.laboratory.read(it.device, pasid: pasid, it.buffer, 1) }?.reason == .quiesced)
        #expect(try it.laboratory.read(it.device, pasid: it.pasid, it.buffer, 1) == [0])
        #expect(
            try context.emulated.openMM(
                mem: owned(open("/proc/\(it.child.pid)/mem", O_RDWR)),
                maps: owned(open("/proc/\(it.child.pid)/maps", O_RDONLY)))
                == it.mm)
    }

    @Test func vforkedChildrenShareUntilTheyExec() throws {
        let it = try Setting("0000:03:00.0", client: me)
        // CLONE_VM without CLONE_THREAD, as posix_spawn does; the child runs on its own stack.
        it.child.say(
            """
            S = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda x: 0); \
            pause = ctypes.cast(libc.pause, ctypes.c_void_p); \
            libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]; \
            s = buffer(1 << 16); say(libc.clone(pause, s + (1 << 16), 0x100 | signal.SIGCHLD, None))
            """)
        let sharer = try #require(Int32(try it.child.hear()))
        try #require(sharer > 0)
        #expect(try it.laboratory.context.emulated.openMM(pid: sharer, by: me) == it.mm)
        it.child.say("os.kill(\(sharer), 9); os.waitpid(\(sharer), 0x40000000); say('ok')")
        _ = try it.child.hear()
        try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [5])
    }

    @Test func queuesCopyFillAndSum() throws {
        let it = try Setting("uacce0", client: me)
        let context = it.laboratory.context
        let (queue, pasid) = try context.emulated.openQueue(device: it.device, mm: it.mm)
        #expect(pasid == it.pasid)
        #expect(
            refusal { _ = try it.laboratory.submit(queue, .fill(destination: it.buffer, length: 1, value: 1)) }?.errno
                == .EINVAL)
        #expect(try context.emulated.startQueue(queue) == .started)
        let length: UInt64 = (3 << 20) / 2 + 123
        let filled = try it.laboratory.submit(queue, .fill(destination: it.buffer + 5, length: length, value: 0xa5))
        #expect(filled == SubmitResult(completed: length, checksum: nil))
        it.child.say("import zlib; say(zlib.crc32(ctypes.string_at(a, 2 << 20)))")
        let expected = try #require(UInt32(try it.child.hear()))
        #expect(try it.laboratory.submit(queue, .checksum(source: it.buffer, length: 2 << 20)).checksum == expected)
        let copied = try it.laboratory.submit(
            queue, .copy(source: it.buffer, destination: it.buffer + 2 << 20, length: 2 << 20))
        #expect(copied.completed == 2 << 20)
        it.child.say("say(zlib.crc32(ctypes.string_at(a + (2 << 20), 2 << 20)))")
        #expect(try it.child.hear() == "\(expected)")
        it.child.say(
            "[ctypes.memset(a + i, i & 255, 1) for i in range(4096)]; m = ctypes.string_at(a, 3 << 20); say(1)")
        _ = try it.child.hear()
        _ = try it.laboratory.submit(queue, .copy(source: it.buffer, destination: it.buffer + 1000, length: 3 << 20))
        it.child.say("say(ctypes.string_at(a + 1000, 3 << 20) == m)")
        #expect(try it.child.hear() == "True", "like memmove")
        let beyond = refusal {
            _ = try it.laboratory.submit(queue, .checksum(source: it.buffer + (4 << 20) - 8, length: 1 << 30))
        }
        #expect(beyond?.errno == .EFAULT)
        #expect(
            refusal { _ = try it.laboratory.submit(queue, .fill(destination: 0, length: 0, value: 0)) }?.errno
                == .EINVAL)
    }

    /// A long operation goes in pieces; the one that fails moves nothing.
    @Test(arguments: [0, 1, 3])
    func aFailureSaysHowMuchIsThrough(piecesBefore: UInt64) throws {
        let it = try Setting("uacce0", client: me)
        let (queue, _) = try it.laboratory.context.emulated.openQueue(device: it.device, mm: it.mm)
        _ = try it.laboratory.context.emulated.startQueue(queue)
        let through = piecesBefore << 20
        it.child.say("libc.munmap(a + \(through + 8192), 4096); say('hole')")
        _ = try it.child.hear()
        let failure = refusal {
            _ = try it.laboratory.submit(queue, .fill(destination: it.buffer, length: 4 << 20, value: 7))
        }
        #expect(failure?.errno == .EFAULT && failure?.eventType == "F_TRANSLATION")
        #expect(failure?.member("completed") == (through == 0 ? nil : .number(through)))
        it.child.say("say(sum(ctypes.string_at(a + i, 1)[0] for i in range(0, \(through + 8192), 4096)))")
        #expect(try it.child.hear() == "\(7 * (through >> 12))")
    }

    @Test func aProcessKilledMidWayFailsTheOperationCleanly() throws {
        let it = try Setting("uacce0", client: me)
        let context = it.laboratory.context
        let (queue, _) = try context.emulated.openQueue(device: it.device, mm: it.mm)
        _ = try context.emulated.startQueue(queue)
        let box = Box<SubmitResult>()
        guard
            case .pending = try context.emulated.submit(
                queue, .fill(destination: it.buffer, length: 4 << 20, value: 1), completion: box.take)
        else { return #expect(Bool(false), "it waits for a worker") }
        for _ in 0..<2 { it.laboratory.executor.step() }
        #expect(box.result == nil)
        it.child.kill()
        #expect(refusal { _ = try box.wait(it.laboratory.executor) }?.reason == .mmExited)
        #expect(refusal { _ = try context.emulated.startQueue(queue) }?.errno == .ESRCH)
        #expect(try context.emulated.queueState(queue).state == .zombie)
        _ = try context.emulated.closeQueue(queue)
        #expect(context.emulated.bonds().map(\.users) == [1])
    }

    /// The access hears the same as those that come later, and nothing is logged.
    @Test(arguments: SharedAddressTests.devices)
    func aProcessKilledWhileItsPageIsWaitedFor(name: String) throws {
        let it = try Setting(name, client: me)
        _ = it.laboratory.takeEvents()
        let box = Box<UInt64>()
        guard
            case .pending = try it.laboratory.context.emulated.dmaWrite(
                device: it.device, pasid: it.pasid, iova: it.buffer, bytes: [1], completion: box.take)
        else { return #expect(Bool(false), "it waits for a worker") }
        it.child.kill()
        let ended = refusal { _ = try box.wait(it.laboratory.executor) }
        let later = refusal { try it.laboratory.write(it.device, pasid: it.pasid, it.buffer, [1]) }
        for error in [ended, later] {
            #expect(error?.errno == .EFAULT && error?.reason == .quiesced && error?.member("event") == nil)
        }
        #expect(it.laboratory.takeEvents().map(\.kind) == [.mmExit, .bond])
    }

    @Test func aWindowOfEveryMappingIsNeverKeptForLong() throws {
        let it = try Setting("uacce0", client: me)
        let (queue, _) = try it.laboratory.context.emulated.openQueue(device: it.device, mm: it.mm)
        _ = try it.laboratory.context.emulated.startQueue(queue)
        it.child.say("b = buffer(9 << 30, 3); say(b)")
        let wide = try it.child.hearAddress()
        // More windows than an address space may have at once.
        for step in 0..<4200 as Range<UInt64> {
            _ = try it.laboratory.submit(queue, .fill(destination: wide + step * (2 << 20), length: 1, value: 1))
        }
        #expect(it.laboratory.backend.sva.windows.count <= 4096)
        #expect(try it.laboratory.read(it.device, pasid: it.pasid, wide + (2 << 20), 2) == [1, 0])
    }
}
