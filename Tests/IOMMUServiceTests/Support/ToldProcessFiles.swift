import Glibc
import IOMMU
import LinuxIO
import Synchronization

@testable import EmulatedIOMMU

/// A kernel that answers some questions about processes as a test says.
final class ToldProcessFiles: ProcessFiles {
    /// What it says; nil: as the kernel does.
    struct Answers {
        /// Of opening `mem` and `maps`.
        var openingErrno: Int32?
        /// Whether `status` can be read.
        var hasStatus = true
        /// What get_robust_list(2) says.
        var mayRead: Int32?
        var mayTrace = false
        /// Yama's setting; nil: a kernel without Yama.
        var ptraceScope: Int?
        /// What pidfds stand for.
        var pidOfPidfds: Int32?
        /// Whether an address space lives, one after the other.
        var probes: [Int32] = []
    }

    private let kernel = KernelProcessFiles()
    private let answers: Mutex<Answers>

    init(_ change: (inout Answers) -> Void = { _ in }) {
        var answers = Answers()
        change(&answers)
        self.answers = Mutex(answers)
    }

    /// From now on.
    func set(_ change: (inout Answers) -> Void) {
        var answers = Answers()
        change(&answers)
        self.answers.withLock { $0 = answers }
    }

    private func told<Answer>(_ answer: (Answers) -> Answer) -> Answer { answers.withLock { answer($0) } }

    func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        if let errno = told({ $0.openingErrno }) { throw SystemError(errno: errno, "open") }
        return try kernel.open(path, flags)
    }

    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) throws(SystemError) -> Descriptor {
        if let errno = told({ $0.openingErrno }) { throw SystemError(errno: errno, "open") }
        return try kernel.open(path, flags, as: client)
    }

    func read(_ path: String) throws(SystemError) -> String {
        if path.hasSuffix("/status"), !told({ $0.hasStatus }) { throw SystemError(errno: ENOENT, "open") }
        if path.contains("/fdinfo/"), let pid = told({ $0.pidOfPidfds }) { return "Pid:\t\(pid)\n" }
        guard path.hasSuffix("/ptrace_scope") else { return try kernel.read(path) }
        guard let scope = told({ $0.ptraceScope }) else { throw SystemError(errno: ENOENT, "open") }
        return "\(scope)\n"
    }

    func probe(mem: Int32) -> Int32 {
        let told = answers.withLock { $0.probes.isEmpty ? nil : $0.probes.removeFirst() }
        return told ?? kernel.probe(mem: mem)
    }

    func mayRead(_ pid: Int32) -> Int32 { told { $0.mayRead } ?? kernel.mayRead(pid) }
    var mayTrace: Bool { told { $0.mayTrace } }

    func facts(_ path: String) -> ProcessFileFacts? { kernel.facts(path) }
    func facts(ofDescriptor descriptor: Int32) -> ProcessFileFacts? { kernel.facts(ofDescriptor: descriptor) }
    func link(ofDescriptor descriptor: Int32) -> String? { kernel.link(ofDescriptor: descriptor) }
    func accessMode(ofDescriptor descriptor: Int32) -> Int32? { kernel.accessMode(ofDescriptor: descriptor) }
    func isOfProcfs(_ descriptor: Int32) -> Bool { kernel.isOfProcfs(descriptor) }
    func exists(_ pid: Int32) -> Bool { kernel.exists(pid) }
    func compareMM(_ first: Int32, _ second: Int32) -> Int32 { kernel.compareMM(first, second) }

    func read(_ descriptor: Int32, at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        kernel.read(descriptor, at: address, into: buffer)
    }

    func write(_ descriptor: Int32, at address: UInt64, from buffer: UnsafeRawBufferPointer) -> Int {
        kernel.write(descriptor, at: address, from: buffer)
    }

    func area(maps: Int32, at address: UInt64) -> (errno: Int32, area: ProcessArea?) {
        kernel.area(maps: maps, at: address)
    }
}
