import Glibc
import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// What a device may do in a process is what the process's areas permit and the descriptor was opened for.
@Suite struct GrantedRightsTests {
    private let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)

    private func open(_ child: PythonProcess, _ mode: Int32, _ context: ObjectContext) throws -> ObjectID {
        try context.emulated.openMM(
            mem: owned(Glibc.open("/proc/\(child.pid)/mem", mode | O_CLOEXEC)),
            maps: owned(Glibc.open("/proc/\(child.pid)/maps", O_RDONLY | O_CLOEXEC)))
    }

    /// One session holds a descriptor for reading, another one for writing: neither has the other's rights.
    @Test(arguments: [true, false])
    func aGrantForReadingIsNoneForWriting(readerComesFirst: Bool) throws {
        let laboratory = try Laboratory()
        let child = try PythonProcess("a = buffer(4096); ctypes.memset(a, 7, 4096); say(a); hear()")
        let buffer = try child.hearAddress()
        let writer = laboratory.context
        let reader = laboratory.backend.makeContext(
            owner: "reader", account: laboratory.account, limits: ContextLimits())
        defer { reader.close() }
        var (reading, writing): (ObjectID, ObjectID) = (0, 0)
        if readerComesFirst { reading = try open(child, O_RDONLY, reader) }
        writing = try writer.emulated.openMM(pid: child.pid, by: me)
        if !readerComesFirst { reading = try open(child, O_RDONLY, reader) }
        let (plain, other) = (
            try writer.bind(deviceNamed: "0000:03:00.0").device, try reader.bind(deviceNamed: "0000:05:00.0").device
        )
        let (write, read) = (
            try writer.emulated.bindSVA(device: plain, mm: writing),
            try reader.emulated.bindSVA(device: other, mm: reading)
        )
        #expect(write.pasid != read.pasid)
        try laboratory.write(plain, pasid: write.pasid, buffer, [8])
        let box = Box<UInt64>()
        let refused = refusal {
            if case .pending = try reader.emulated.dmaWrite(
                device: other, pasid: read.pasid, iova: buffer, bytes: [9], completion: box.take)
            {
                _ = try box.wait(laboratory.executor)
            }
        }
        #expect(refused?.errno == .EFAULT)
        #expect(try laboratory.read(plain, pasid: write.pasid, buffer, 2) == [8, 7])
    }

    @Test func aSessionWithBothHasTwoNames() throws {
        let laboratory = try Laboratory()
        let child = try PythonProcess("say('up'); hear()")
        _ = try child.hear()
        let reading = try open(child, O_RDONLY, laboratory.context)
        let writing = try open(child, O_RDWR, laboratory.context)
        #expect(reading != writing)
        #expect(try open(child, O_RDONLY, laboratory.context) == reading)
        #expect(try laboratory.context.emulated.openMM(pid: child.pid, by: me) == writing)
    }

    /// PROT_WRITE alone: the kernel lets a device write there, and not read.
    @Test(arguments: SharedAddressTests.devices, [1, 3, 0])
    func areasThatMayOnlyBeWritten(name: String, rightsBefore: Int) throws {
        let laboratory = try Laboratory()
        let child = try PythonProcess(
            """
            a = buffer(4096, \(rightsBefore)); say(a)
            while True: exec(hear())
            """)
        let buffer = try child.hearAddress()
        let device = try laboratory.bind(name)
        let mm = try laboratory.context.emulated.openMM(pid: child.pid, by: me)
        let pasid = try laboratory.context.emulated.bindSVA(device: device, mm: mm).pasid
        if rightsBefore != 0 { _ = try laboratory.read(device, pasid: pasid, buffer, 1) }
        child.say("libc.mprotect(a, 4096, 2); say('write-only')")
        _ = try child.hear()
        try laboratory.write(device, pasid: pasid, buffer, [5])
        #expect(refusal { _ = try laboratory.read(device, pasid: pasid, buffer, 1) }?.errno == .EFAULT)
        try laboratory.write(device, pasid: pasid, buffer + 1, [6])
        child.say("libc.mprotect(a, 4096, 1); say(ctypes.string_at(a, 2).hex())")
        #expect(try child.hear() == "0506")
        #expect(try laboratory.read(device, pasid: pasid, buffer, 2) == [5, 6])
    }

    /// Behind the end of a file an area has no pages: a device faults there, whether or not it has used the area.
    @Test(arguments: ["0000:03:00.0", "uacce0", "0001:01:00.0"], [true, false])
    func pagesThatCannotBeHadAreFaults(name: String, wasUsed: Bool) throws {
        let laboratory = try Laboratory()
        let child = try PythonProcess(
            """
            f = os.memfd_create('short'); os.ftruncate(f, 4096)
            libc.mmap.restype = ctypes.c_void_p
            a = libc.mmap(None, 16384, 3, 1, f, 0); say(a)
            while True: exec(hear())
            """)
        let buffer = try child.hearAddress()
        let device = try laboratory.bind(name)
        let mm = try laboratory.context.emulated.openMM(pid: child.pid, by: me)
        let pasid = try laboratory.context.emulated.bindSVA(device: device, mm: mm).pasid
        if wasUsed { try laboratory.write(device, pasid: pasid, buffer, [1]) }
        _ = laboratory.takeEvents()
        let read = refusal { _ = try laboratory.read(device, pasid: pasid, buffer + 4090, 10) }
        let write = refusal { try laboratory.write(device, pasid: pasid, buffer + 8192, [1]) }
        #expect([read, write].allSatisfy { $0?.errno == .EFAULT && $0?.eventType == "F_TRANSLATION" })
        #expect(laboratory.takeEvents().isEmpty, "nothing is logged")
        child.say("os.ftruncate(f, 16384); say('long')")
        _ = try child.hear()
        try laboratory.write(device, pasid: pasid, buffer + 8192, [2])
        #expect(try laboratory.read(device, pasid: pasid, buffer + 8191, 2) == [0, 2])
    }
}
