import CLinux
import Glibc
import IOMMU
import Testing

@testable import EmulatedIOMMU

/// The kernel's leave to look into a process fails at every use of it, and nothing is left open.
@Suite struct GrantUnwindingTests {
    /// How the process is named.
    enum Way: CaseIterable {
        case pid, pidfd, pidOnAWorker
    }

    /// Descriptors of this process that concern another one: its files, and pidfds of it.
    private func descriptors(of pid: pid_t) -> Int {
        guard let directory = opendir("/proc/self/fd") else { return -1 }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            var target = [UInt8](repeating: 0, count: 256)
            let length = target.withUnsafeMutableBytes { buffer in
                buffer.bindMemory(to: CChar.self).baseAddress.map {
                    readlink("/proc/self/fd/\(name)", $0, buffer.count)
                } ?? 0
            }
            let isFile = String(decoding: target.prefix(max(length, 0)), as: UTF8.self).hasPrefix("/proc/\(pid)/")
            let facts = ProcFile.read("/proc/self/fdinfo/\(name)") ?? ""
            if isFile || ProcFile.values(of: "Pid", in: facts)?.first == "\(pid)" { count += 1 }
        }
        return count
    }

    private func open(_ way: Way, _ pid: pid_t, _ bench: UnwindingBench) throws -> ObjectID {
        let me = ClientIdentity(uid: getuid(), gid: getgid(), pid: getpid(), isAdmin: true)
        switch way {
        case .pid: return try bench.context.openMM(pid: pid, by: me)
        case .pidfd:
            let descriptor = clinux_pidfd_open(pid)
            try #require(descriptor >= 0)
            return try bench.context.openMM(pidfd: descriptor, by: me)
        case .pidOnAWorker:
            let box = Box<ObjectID>()
            guard case .pending = try bench.context.openMM(pid: pid, by: me, completion: box.take) else {
                throw IOMMUError(.EIO, "not_pending", "it waits for a worker")
            }
            return try box.wait(bench.laboratory.executor)
        }
    }

    @Test(arguments: Way.allCases)
    func everyUseOfTheGrant(way: Way) throws {
        let child = try PythonProcess("say(buffer(4096)); hear()")
        let buffer = try child.hearAddress()
        let bench = try UnwindingBench()
        let files = FailingProcessFiles()
        bench.backend.sva.processFiles = files
        let device = try bench.laboratory.bind("0000:03:00.0")
        let before = bench.state
        var failures = 0
        var mm: ObjectID?
        while mm == nil, failures < 50 {
            files.arm(after: failures)
            do {
                mm = try open(way, child.pid, bench)
            } catch let error as IOMMUError {
                #expect([.EPERM, .ESRCH, .EINVAL].contains(error.errno), "\(error)")
                #expect(bench.state == before && bench.backend.sva.all.isEmpty, "use \(failures)")
                #expect(descriptors(of: child.pid) == 0, "use \(failures)")
                failures += 1
            }
            files.disarm()
        }
        #expect(failures >= 4, "its status, mem, maps, and its status again")
        let opened = try #require(mm)
        let bond = try bench.context.bindSVA(device: device, mm: opened)
        try bench.laboratory.write(device, pasid: bond.pasid, buffer, [1])
        _ = try bench.context.unbindSVA(bond: bond.bond)
        try bench.context.closeMM(opened)
        #expect(descriptors(of: child.pid) == 0)
        #expect(bench.laboratory.account.used(.descriptors) == 0)
    }

    @Test(arguments: [Account.Resource.objects, .descriptors])
    func quotasAfterTheGrant(resource: Account.Resource) throws {
        let child = try PythonProcess("say(buffer(4096)); hear()")
        _ = try child.hear()
        let bench = try UnwindingBench()
        let account = bench.laboratory.account
        let before = bench.state
        account.setLimit(account.used(resource), of: resource)
        #expect(refusal { _ = try open(.pid, child.pid, bench) }?.errno == .EDQUOT)
        #expect(bench.state == before && bench.backend.sva.all.isEmpty)
        #expect(descriptors(of: child.pid) == 0)
    }

    /// Binding the mm of a process fails at every point too.
    @Test func bindingAProcess() throws {
        let child = try PythonProcess("say(buffer(4096)); hear()")
        let buffer = try child.hearAddress()
        let bench = try UnwindingBench()
        let devices = try ["0000:03:00.0", "0001:01:00.0"].map { try bench.laboratory.bind($0) }
        let mm = try open(.pid, child.pid, bench)
        for device in devices {
            var pasid: UInt32 = 0
            #expect(try bench.failEverywhere { pasid = try bench.context.bindSVA(device: device, mm: mm).pasid } >= 2)
            let failures = try bench.failEverywhere(as: .EFAULT) {
                try bench.laboratory.write(device, pasid: pasid, buffer, [1])
            }
            #expect(failures >= 3, "a table of each level for the page that the device touches")
        }
    }
}
