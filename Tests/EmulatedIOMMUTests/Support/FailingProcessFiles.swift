import Glibc
import IOMMU
import LinuxIO
import Synchronization

@testable import EmulatedIOMMU

/// A kernel in which something happens at a chosen question about another process.
final class FailingProcessFiles: ProcessFiles {
    enum Incident {
        /// The kernel does not answer that one.
        case refused
        /// The descriptor that it is about is none from then on.
        case closed
        /// The answer is about another process, as if the number had come to mean that one just then. What is open
        /// stays what it is. It `lasts`, or was the mistake of a moment.
        case other(subject: Int32, decoy: Int32, lasts: Bool)
        /// This comes to pass before the answer, which is the kernel's.
        case event(@Sendable () -> Void)
    }

    private struct State {
        /// Questions before the incident; nil: nothing happens.
        var remaining: Int?
        var isArmed = false
        /// How many questions were asked before that one.
        var firedAt: Int?
        var closed: Int32?
        var asked: [String] = []
    }

    private enum Verdict { case pass, refuse, decoy }

    private let base: any ProcessFiles
    private let incident: Incident
    private let state = Mutex(State())

    init(_ incident: Incident, over base: any ProcessFiles = KernelProcessFiles()) {
        self.incident = incident
        self.base = base
    }

    func arm(after uses: Int) { state.withLock { $0 = State(remaining: uses, isArmed: true) } }

    /// - Returns: what was asked since it was armed.
    @discardableResult
    func disarm() -> [String] {
        state.withLock { state in
            (state.remaining, state.closed, state.isArmed) = (nil, nil, false)
            return state.asked
        }
    }

    /// How many questions were asked before the one at which it happened; nil if there was none.
    var firedAt: Int? { state.withLock { $0.firedAt } }
    var hasFired: Bool { firedAt != nil }

    private func judge(_ question: String, _ descriptor: Int32? = nil) -> Verdict {
        let isNow = state.withLock { state -> Bool in
            state.asked.append(question)
            switch incident {
            case .closed where descriptor == nil: return false
            case .other where descriptor != nil: return false
            default: break
            }
            guard let left = state.remaining else {
                if case .other(_, _, lasts: true) = incident { return state.isArmed && state.firedAt != nil }
                return false
            }
            state.remaining = left > 0 ? left - 1 : nil
            if left == 0 { state.firedAt = state.asked.count - 1 }
            if left == 0, case .closed = incident { state.closed = descriptor }
            return left == 0
        }
        if let descriptor, state.withLock({ $0.closed == descriptor }) { return .refuse }
        guard isNow else { return .pass }
        switch incident {
        case .refused, .closed: return .refuse
        case .other: return .decoy
        case .event(let happen):
            happen()
            return .pass
        }
    }

    private func decoy(_ path: String) -> String {
        guard case .other(let subject, let decoy, _) = incident, path.hasPrefix("/proc/\(subject)/") else {
            return path
        }
        return "/proc/\(decoy)/" + path.dropFirst("/proc/\(subject)/".count)
    }

    private func answer<Answer>(
        _ question: String, refused: Answer, _ path: String, _ ask: (String) -> Answer
    ) -> Answer {
        switch judge("\(question) \(path)") {
        case .pass: ask(path)
        case .refuse: refused
        case .decoy: ask(decoy(path))
        }
    }

    private func answer<Answer>(
        _ question: String, refused: Answer, _ descriptor: Int32, _ ask: (Int32) -> Answer
    ) -> Answer {
        judge(question, descriptor) == .refuse ? refused : ask(descriptor)
    }

    private func answer<Answer>(_ question: String, refused: Answer, pid: Int32, _ ask: (Int32) -> Answer) -> Answer {
        switch judge(question) {
        case .pass: return ask(pid)
        case .refuse: return refused
        case .decoy:
            guard case .other(let subject, let decoy, _) = incident, pid == subject else { return ask(pid) }
            return ask(decoy)
        }
    }

    // MARK: ProcessFiles

    func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        try base.open(try answer("open", path), flags)
    }

    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) throws(SystemError) -> Descriptor {
        try base.open(try answer("open as client", path), flags, as: client)
    }

    /// - Returns: the path to open instead.
    private func answer(_ question: String, _ path: String) throws(SystemError) -> String {
        switch judge("\(question) \(path)") {
        case .pass: return path
        case .refuse: throw SystemError(errno: EACCES, question)
        case .decoy: return decoy(path)
        }
    }

    func read(_ path: String) throws(SystemError) -> String { try base.read(try answer("read", path)) }
    func facts(_ path: String) -> ProcessFileFacts? { answer("stat", refused: nil, path, base.facts) }

    func facts(ofDescriptor descriptor: Int32) -> ProcessFileFacts? {
        answer("fstat", refused: nil, descriptor) { base.facts(ofDescriptor: $0) }
    }

    func link(ofDescriptor descriptor: Int32) -> String? {
        answer("readlink", refused: nil, descriptor) { base.link(ofDescriptor: $0) }
    }

    func accessMode(ofDescriptor descriptor: Int32) -> Int32? {
        answer("fcntl", refused: nil, descriptor) { base.accessMode(ofDescriptor: $0) }
    }

    func isOfProcfs(_ descriptor: Int32) -> Bool {
        answer("fstatfs", refused: false, descriptor, base.isOfProcfs)
    }

    func read(_ descriptor: Int32, at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        answer("pread", refused: -Int(EBADF), descriptor) { base.read($0, at: address, into: buffer) }
    }

    func write(_ descriptor: Int32, at address: UInt64, from buffer: UnsafeRawBufferPointer) -> Int {
        answer("pwrite", refused: -Int(EBADF), descriptor) { base.write($0, at: address, from: buffer) }
    }

    func probe(mem: Int32) -> Int32 { answer("probe", refused: -EBADF, mem) { base.probe(mem: $0) } }

    func area(maps: Int32, at address: UInt64) -> (errno: Int32, area: ProcessArea?) {
        answer("query", refused: (EBADF, nil), maps) { base.area(maps: $0, at: address) }
    }

    func exists(_ pid: Int32) -> Bool { answer("kill", refused: true, pid: pid, base.exists) }
    func mayRead(_ pid: Int32) -> Int32 { answer("get_robust_list", refused: -EPERM, pid: pid, base.mayRead) }
    var mayTrace: Bool { base.mayTrace }

    func compareMM(_ first: Int32, _ second: Int32) -> Int32 {
        answer("kcmp", refused: -EPERM, pid: first) { base.compareMM($0, second) }
    }
}

/// A kernel that lets the daemon do less than the test may: no identities of others, none of their files.
final class UnprivilegedProcessFiles: ProcessFiles {
    /// What the daemon still may.
    struct Rights: OptionSet {
        let rawValue: Int
        /// Taking on the client's ids.
        static let identities = Rights(rawValue: 1)
        /// Opening `mem` of others' processes.
        static let mem = Rights(rawValue: 2)
        /// Opening `maps` of others' processes.
        static let maps = Rights(rawValue: 4)
        /// Seeing them in /proc at all.
        static let status = Rights(rawValue: 8)
        /// CAP_SYS_PTRACE
        static let ptrace = Rights(rawValue: 16)
    }

    private let kernel = KernelProcessFiles()
    private let rights: Int
    private let scope: Int?
    private let errno: Int32

    /// - Parameters:
    ///   - scope: Yama's kernel.yama.ptrace_scope; nil: a kernel without Yama.
    ///   - errno: of what may not be opened.
    init(_ rights: Rights, scope: Int? = nil, errno: Int32 = EACCES) {
        (self.rights, self.scope, self.errno) = (rights.rawValue, scope, errno)
    }

    private func has(_ right: Rights) -> Bool { Rights(rawValue: rights).contains(right) }

    func open(_ path: String, _ flags: Int32) throws(SystemError) -> Descriptor {
        guard has(path.hasSuffix("/mem") ? .mem : .maps) else { throw SystemError(errno: errno, "open") }
        return try kernel.open(path, flags)
    }

    func open(_ path: String, _ flags: Int32, as client: ClientIdentity) throws(SystemError) -> Descriptor {
        guard has(.identities) else { throw SystemError(errno: ENOTSUP, "open") }
        return try kernel.open(path, flags, as: client)
    }

    var mayTrace: Bool { has(.ptrace) }

    func read(_ path: String) throws(SystemError) -> String {
        let isScope = path.hasSuffix("/ptrace_scope")
        if isScope, let scope { return "\(scope)\n" }
        guard !isScope, path.hasPrefix("/proc/self/") || has(.status) else { throw SystemError(errno: ENOENT, "read") }
        return try kernel.read(path)
    }

    func facts(_ path: String) -> ProcessFileFacts? { kernel.facts(path) }
    func facts(ofDescriptor descriptor: Int32) -> ProcessFileFacts? { kernel.facts(ofDescriptor: descriptor) }
    func link(ofDescriptor descriptor: Int32) -> String? { kernel.link(ofDescriptor: descriptor) }
    func accessMode(ofDescriptor descriptor: Int32) -> Int32? { kernel.accessMode(ofDescriptor: descriptor) }
    func isOfProcfs(_ descriptor: Int32) -> Bool { kernel.isOfProcfs(descriptor) }
    func probe(mem: Int32) -> Int32 { kernel.probe(mem: mem) }
    func exists(_ pid: Int32) -> Bool { kernel.exists(pid) }
    func mayRead(_ pid: Int32) -> Int32 { kernel.mayRead(pid) }
    func compareMM(_ first: Int32, _ second: Int32) -> Int32 { -EPERM }

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
