import CLinux
import Glibc
import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Something goes wrong at every question that iommud asks the kernel about a process whose address space it opens:
/// either nothing of it is left, or what was opened is that address space and no other.
@Suite struct GrantUnwindingTests {
    /// How the process is named.
    enum Way: String, CaseIterable {
        case pid, pidfd, pidOnAWorker
        /// Its own `mem` and `maps`.
        case ownFiles, ownFilesSwapped, ownFilesOnAWorker
        /// A process of another user: with the client's identity; and without, by the daemon's own rights.
        case otherUser, otherUserByPidfd, otherUserWithoutIdentities

        var isOfOtherUser: Bool { rawValue.hasPrefix("otherUser") }
        static var permitted: [Way] { allCases.filter { getuid() == 0 || !$0.isOfOtherUser } }
    }

    enum Incident: CaseIterable { case refused, closed, ended, executed, other }

    /// A process to be opened, and a fork of it that nobody asked for.
    final class Subject {
        let child: PythonProcess
        let fork: pid_t
        let buffer: UInt64
        let client: ClientIdentity

        init(_ way: Way) throws {
            let uid = way.isOfOtherUser ? 4242 : getuid()
            let gid = way.isOfOtherUser ? 4242 : getgid()
            child = try PythonProcess(
                """
                if \(way.isOfOtherUser ? "True" : "False"):
                    os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
                    libc.prctl(4, 1, 0, 0, 0)
                a = buffer(4096)
                r, w = os.pipe(); p = os.fork()
                if not p:
                    libc.prctl(1, 9, 0, 0, 0); libc.prctl(4, 1, 0, 0, 0); os.write(w, b'x'); signal.pause()
                os.read(r, 1); say(p); say(a)
                while True:
                    line = hear()
                    if not line: break
                    exec(line)
                """)
            fork = try #require(Int32(try child.hear()))
            buffer = try child.hearAddress()
            client = ClientIdentity(uid: uid, gid: gid, pid: getpid(), isAdmin: uid == 0)
        }

        func incident(_ kind: Incident) -> FailingProcessFiles.Incident {
            let (pid, line) = (child.pid, child.line)
            switch kind {
            case .refused: return .refused
            case .closed: return .closed
            case .other: return .other(subject: pid, decoy: fork, lasts: false)
            case .ended:
                return .event {
                    kill(pid, SIGKILL)
                    var information = siginfo_t()
                    waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT)
                }
            case .executed:
                return .event {
                    line.say("os.execv('/usr/bin/python3', ['python3', '-ISc', 'print(1, flush=True); input()'])")
                    #expect((try? line.hear()) == "1")
                }
            }
        }

        private var value: UInt8 = 0

        /// Another one every time.
        func nextValue() -> UInt8 {
            value &+= 1
            return value
        }

        /// The byte that lies where a device would write.
        func byte() throws -> Int? {
            child.say("say(ctypes.string_at(a, 1)[0])")
            return Int(try child.hear())
        }
    }

    /// Descriptors of this process that concern others: their files, and pidfds of them.
    static func descriptors(of pids: [pid_t]) -> [String] {
        guard let directory = opendir("/proc/self/fd") else { return ["/proc/self/fd"] }
        defer { closedir(directory) }
        var found: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let target = Int32(name).flatMap { linkTarget(ofDescriptor: $0) } ?? ""
            let facts = ProcFile.read("/proc/self/fdinfo/\(name)") ?? ""
            let pid = ProcFile.values(of: "Pid", in: facts)?.first
            if pids.contains(where: { target.hasPrefix("/proc/\($0)/") || pid == "\($0)" }) { found.append(target) }
        }
        return found
    }

    private func open(_ way: Way, _ subject: Subject, _ bench: UnwindingBench) throws -> ObjectID {
        let (pid, client) = (subject.child.pid, subject.client)
        let box = Box<ObjectID>()
        func wait(_ progress: Progress<ObjectID>) throws -> ObjectID {
            guard case .pending = progress else {
                throw IOMMUError(.EIO, .notPending, "it waits for a worker", hint: "this is a test")
            }
            return try box.wait(bench.laboratory.executor)
        }
        func file(_ name: String, _ mode: Int32) -> Int32 { Glibc.open("/proc/\(pid)/\(name)", mode | O_CLOEXEC) }
        switch way {
        case .pid, .otherUser, .otherUserWithoutIdentities:
            return try bench.context.emulated.openMM(pid: pid, by: client)
        case .pidfd, .otherUserByPidfd:
            return try bench.context.emulated.openMM(pidfd: owned(clinux_pidfd_open(pid)), by: client)
        case .pidOnAWorker:
            return try wait(try bench.context.emulated.openMM(pid: pid, by: client, completion: box.take))
        case .ownFiles:
            return try bench.context.emulated.openMM(
                mem: owned(file("mem", O_RDWR)), maps: owned(file("maps", O_RDONLY)))
        case .ownFilesSwapped:
            return try bench.context.emulated.openMM(
                mem: owned(file("maps", O_RDONLY)), maps: owned(file("mem", O_RDWR)))
        case .ownFilesOnAWorker:
            return try wait(
                try bench.context.emulated.openMM(
                    mem: owned(file("mem", O_RDWR)), maps: owned(file("maps", O_RDONLY)), completion: box.take))
        }
    }

    /// Tries one open, with the incident at one question. - Returns: whether there was such a question.
    private func attempt(
        _ way: Way, _ kind: Incident, at use: Int, _ subject: Subject, _ bench: UnwindingBench
    ) throws -> Bool {
        let base: any ProcessFiles =
            way == .otherUserWithoutIdentities
            ? UnprivilegedProcessFiles([.mem, .maps, .status]) : KernelProcessFiles()
        let files = FailingProcessFiles(subject.incident(kind), over: base)
        bench.backend.sva.processFiles = files
        let before = bench.state
        files.arm(after: use)
        let result = Result { try open(way, subject, bench) }
        let (asked, hasFired) = (files.disarm(), files.hasFired)
        let place = "\(way) \(kind) at \(files.firedAt.map { asked[$0] } ?? "nothing")"
        switch result {
        case .failure(let error as IOMMUError):
            #expect(hasFired && [.EPERM, .ESRCH, .EINVAL].contains(error.errno), "\(place): \(error)")
        case .failure(let error): throw error
        case .success(let mm):
            let isOver = hasFired && (kind == .ended || kind == .executed)
            if !isOver { #expect(try open(way, subject, bench) == mm, "\(place): the same once more") }
            try check(mm, isOver, subject, bench, place)
            try bench.context.emulated.closeMM(mm)
        }
        #expect(bench.state == before && bench.backend.sva.all.isEmpty, "\(place)")
        #expect(Self.descriptors(of: [subject.child.pid, subject.fork]).isEmpty, "\(place)")
        return hasFired
    }

    /// What was opened is the address space that was asked for, alive if it can be.
    private func check(
        _ mm: ObjectID, _ isOver: Bool, _ subject: Subject, _ bench: UnwindingBench, _ place: String
    ) throws {
        let device = try bench.backend.device(named: "0000:03:00.0").device.handle?.id ?? 0
        do {
            let bond = try bench.context.emulated.bindSVA(device: device, mm: mm)
            defer { _ = try? bench.context.emulated.unbindSVA(bond: bond.bond) }
            let value = subject.nextValue()
            let written = Result { try bench.laboratory.write(device, pasid: bond.pasid, subject.buffer, [value]) }
            switch written {
            case .success:
                try #require(!isOver, "\(place)")
                #expect(try subject.byte() == Int(value), "\(place)")
            // The program that runs now, if it was that one that was opened, has nothing at this address.
            case .failure(let error as IOMMUError): #expect(isOver && error.errno == .EFAULT, "\(place): \(error)")
            case .failure(let error): throw error
            }
        } catch let error as IOMMUError {
            #expect(isOver && error.errno == .ESRCH, "\(place): \(error)")
        }
    }

    @Test(arguments: Way.permitted, Incident.allCases)
    func everyQuestion(way: Way, kind: Incident) throws {
        let bench = try UnwindingBench()
        _ = try bench.laboratory.bind("0000:03:00.0")
        var subject = try Subject(way)
        var use = 0
        while use < 100, try attempt(way, kind, at: use, subject, bench) {
            use += 1
            // After these the process is not what it was.
            if kind == .ended || kind == .executed { subject = try Subject(way) }
        }
        let isByFiles = way.rawValue.hasPrefix("ownFiles")
        let minimum =
            switch kind {
            // About open files; about paths and numbers; about either.
            case .closed: isByFiles ? 15 : 8
            case .other: isByFiles ? 1 : 6
            default: isByFiles ? 16 : 14
            }
        #expect(use >= minimum && use < 100, "\(use) questions")
        #expect(bench.laboratory.account.used(.descriptors) == 0)
    }

    @Test(arguments: [Account.Resource.objects, .descriptors], [Way.pid, .pidfd, .ownFiles])
    func quotasAfterTheGrant(resource: Account.Resource, way: Way) throws {
        let subject = try Subject(way)
        let bench = try UnwindingBench()
        let account = bench.laboratory.account
        let before = bench.state
        account.setLimit(account.used(resource), of: resource)
        #expect(refusal { _ = try open(way, subject, bench) }?.errno == .EDQUOT)
        #expect(bench.state == before && bench.backend.sva.all.isEmpty)
        #expect(Self.descriptors(of: [subject.child.pid]).isEmpty)
    }

    /// Binding the mm of a process fails at every point too.
    @Test(arguments: FailureLength.allCases)
    func bindingAProcess(length: FailureLength) throws {
        let subject = try Subject(.pid)
        let bench = try UnwindingBench(length)
        let devices = try ["0000:03:00.0", "0001:01:00.0"].map { try bench.laboratory.bind($0) }
        let mm = try open(.pid, subject, bench)
        for device in devices {
            var pasid: UInt32 = 0
            #expect(
                try bench.failEverywhere { pasid = try bench.context.emulated.bindSVA(device: device, mm: mm).pasid }
                    >= 3)
            let failures = try bench.failEverywhere(as: .EFAULT) {
                try bench.laboratory.write(device, pasid: pasid, subject.buffer, [1])
            }
            #expect(failures >= 3, "a table of each level for the page that the device touches")
        }
    }
}
