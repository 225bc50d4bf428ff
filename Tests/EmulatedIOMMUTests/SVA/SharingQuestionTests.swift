import Glibc
import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Whether two processes share an address space is the kernel's to say; where it does not, or the numbers change their
/// meaning meanwhile, an address space may have two names, but never does one name stand for two.
@Suite struct SharingQuestionTests {
    private let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)

    /// Who is opened beside the process itself.
    enum Other: CaseIterable { case thread, sharer, fork }
    enum Incident: CaseIterable { case refused, takenForSharer, takenForFork }

    private struct Family {
        let child: PythonProcess
        let buffer: UInt64
        let thread: pid_t
        let sharer: pid_t
        let fork: pid_t

        init() throws {
            child = try PythonProcess(
                """
                import threading
                a = buffer(4096); r, w = os.pipe(); p = os.fork()
                if not p:
                    libc.prctl(1, 9, 0, 0, 0); os.write(w, b'x'); signal.pause()
                os.read(r, 1)
                pause = ctypes.cast(libc.pause, ctypes.c_void_p)
                libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
                s = libc.clone(pause, buffer(1 << 16) + (1 << 16), 0x100 | signal.SIGCHLD, None)
                ids = []; up = threading.Event()
                def body(): ids.append(threading.get_native_id()); up.set(); threading.Event().wait()
                threading.Thread(target=body, daemon=True).start(); up.wait()
                say(a); say(ids[0], s, p)
                while True:
                    line = hear()
                    if not line: break
                    exec(line)
                """)
            buffer = try child.hearAddress()
            let numbers = try child.hear().split(separator: " ").compactMap { pid_t($0) }
            try #require(numbers.count == 3 && numbers.allSatisfy { $0 > 0 })
            (thread, sharer, fork) = (numbers[0], numbers[1], numbers[2])
        }

        func number(_ other: Other) -> pid_t {
            switch other {
            case .thread: thread
            case .sharer: sharer
            case .fork: fork
            }
        }

        func incident(_ incident: Incident, with subject: pid_t) -> FailingProcessFiles.Incident {
            switch incident {
            case .refused: .refused
            case .takenForSharer: .other(subject: subject, decoy: sharer, lasts: true)
            case .takenForFork: .other(subject: subject, decoy: fork, lasts: true)
            }
        }

        func byte() throws -> UInt8? {
            child.say("say(ctypes.string_at(a, 1)[0])")
            return UInt8(try child.hear())
        }
    }

    private func write(
        _ value: UInt8, to family: Family, through mm: ObjectID, of device: ObjectID, _ bench: UnwindingBench
    ) throws {
        let bond = try bench.context.emulated.bindSVA(device: device, mm: mm)
        try bench.laboratory.write(device, pasid: bond.pasid, family.buffer, [value])
        #expect(try bench.context.emulated.unbindSVA(bond: bond.bond) == 0)
    }

    @Test(arguments: Other.allCases, Incident.allCases)
    func everyQuestion(other: Other, incident: Incident) throws {
        let family = try Family()
        defer { kill(family.sharer, SIGKILL) }
        let bench = try UnwindingBench()
        let device = try bench.laboratory.bind("0000:03:00.0")
        let mm = try bench.context.emulated.openMM(pid: family.child.pid, by: me)
        let pid = family.number(other)
        let files = FailingProcessFiles(family.incident(incident, with: pid))
        bench.backend.sva.processFiles = files
        // The device's CD table and the window on the buffer are there from now on.
        try write(0, to: family, through: mm, of: device, bench)
        let before = bench.state
        var (use, value): (Int, UInt8) = (0, 0)
        var asked: [String] = []
        while use < 100 {
            files.arm(after: use)
            let result = Result { try bench.context.emulated.openMM(pid: pid, by: me) }
            asked = files.disarm()
            let place = "\(other) \(incident) at \(files.firedAt.map { asked[$0] } ?? "nothing")"
            switch result {
            case .failure(let error as IOMMUError):
                #expect(files.hasFired && [.EPERM, .ESRCH].contains(error.errno), "\(place): \(error)")
            case .failure(let error): throw error
            case .success(let opened):
                // The number may have come to mean the other one before the file was opened, not later.
                let isDecoy =
                    incident != .refused
                    && files.firedAt.map {
                        !asked[..<$0].contains("open /proc/\(pid)/mem")
                    } ?? false
                let isShared = isDecoy ? incident == .takenForSharer : other != .fork
                #expect(isShared || opened != mm, "\(place)")
                #expect(!isShared || opened == mm || files.hasFired, "\(place)")
                value += 1
                let old = try family.byte()
                try write(value, to: family, through: opened, of: device, bench)
                #expect(try family.byte() == (isShared ? value : old), "\(place)")
                if opened != mm { try bench.context.emulated.closeMM(opened) }
            }
            // What was learnt of who shares it goes with its name.
            try bench.context.emulated.closeMM(mm)
            #expect(try bench.context.emulated.openMM(pid: family.child.pid, by: me) == mm)
            try write(value, to: family, through: mm, of: device, bench)
            #expect(bench.state == before, "\(place)")
            guard files.hasFired else { break }
            use += 1
        }
        #expect(use >= 8 && use < 100, "\(use)")
        #expect(asked.contains("kcmp"))
    }

    /// A process that is known to share an address space keeps its name when the one that was opened first has gone.
    @Test func theFirstProcessGoesFirst() throws {
        let family = try Family()
        defer { kill(family.sharer, SIGKILL) }
        let laboratory = try Laboratory()
        let (context, account) = (laboratory.context, laboratory.account)
        let mm = try context.emulated.openMM(pid: family.child.pid, by: me)
        for _ in 0..<2 { #expect(try context.emulated.openMM(pid: family.sharer, by: me) == mm) }
        #expect(account.used(.descriptors) == 4)
        family.child.kill()
        #expect(try context.emulated.openMM(pid: family.sharer, by: me) == mm)
        let files = (open("/proc/\(family.sharer)/mem", O_RDWR), open("/proc/\(family.sharer)/maps", O_RDONLY))
        #expect(try context.emulated.openMM(mem: owned(files.0), maps: owned(files.1)) == mm)
        try context.emulated.closeMM(mm)
        #expect(account.used(.descriptors) == 0 && account.used(.objects) == 0)
    }
}
