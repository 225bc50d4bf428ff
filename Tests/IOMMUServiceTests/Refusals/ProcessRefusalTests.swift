import CLinux
import EmulatedIOMMU
import Glibc
import IOMMU
import TestSupport
import Testing

/// What is said of processes that the daemon may not look into, and of memory that does not come.
@Suite struct ProcessRefusalTests {
    private let bench: ServiceBench
    private let client: PlayedClient
    private let backend: EmulatedBackend

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
        backend = try #require(bench.service.backend as? EmulatedBackend)
    }

    @Test func processesThatNobodyMayLookInto() throws {
        let own = #"{"pid":\#(getpid())}"#
        let cases: [(Int32, String, (inout ToldProcessFiles.Answers) -> Void)] = [
            (EPERM, "not_dumpable", { $0.mayRead = -EPERM }),
            (EPERM, "process_hidden", { $0.hasStatus = false }),
            (EPERM, "no_cap_sys_ptrace", { $0.openingErrno = EACCES }),
            (EPERM, "yama_ptrace_scope", { ($0.openingErrno, $0.ptraceScope) = (EACCES, 1) }),
            (EPERM, "ptrace_refused", { ($0.openingErrno, $0.mayTrace) = (EACCES, true) }),
            (EMFILE, "no_descriptors", { $0.openingErrno = EMFILE }),
            (ESRCH, "mm_exited", { $0.probes = [0, 0] }),
        ]
        for (errno, reason, change) in cases {
            backend.sva.processFiles = ToldProcessFiles(change)
            try client.expect(errno, reason, "mm.open", own)
        }
        let pidfd = clinux_pidfd_open(getpid())
        defer { close(pidfd) }
        backend.sva.processFiles = ToldProcessFiles { $0.pidOfPidfds = 0 }
        try client.expect(EINVAL, "foreign_pid_namespace", "mm.open", descriptors: [pidfd])
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
    }

    // MARK: Memory that does not come

    private static let buffer = UInt(bitPattern: UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096))

    private func share() throws {
        try bench.run(
            """
            device.bind {"name":"uacce0"}
            mm.open {"pid":\(getpid())}
            queue.open {"device":1,"mm":1}
            queue.start {"queue":1}
            """, on: client)
    }

    private let accesses = [
        ("dma.read", #"{"device":1,"pasid":1,"iova":\#(buffer),"length":8}"#),
        ("dma.write", #"{"device":1,"pasid":1,"iova":\#(buffer),"data":"AAAA"}"#),
        ("queue.submit", #"{"queue":1,"op":"fill","dst":\#(buffer),"length":8}"#),
    ]

    @Test func pagesThatCannotBeHad() throws {
        try share()
        backend.sva.memory = FailingMemory(over: backend.sva.memory, bench.executor) { .unreachable($0) }
        for (method, params) in accesses { try client.expect(EFAULT, "page_unreachable", method, params) }
    }

    /// The process permits what it has just not permitted, again and again.
    @Test func pagesThatComeAndGo() throws {
        try share()
        backend.sva.memory = FailingMemory(over: backend.sva.memory, bench.executor) { .denied($0) }
        for (method, params) in accesses { try client.expect(EFAULT, "fault_not_resolved", method, params) }
    }

    /// The process ends between the look at it and the access.
    @Test func aSubmissionToAnAddressSpaceThatHasJustEnded() throws {
        let files = ToldProcessFiles()
        backend.sva.processFiles = files
        try share()
        files.set { $0.probes = [1, 0] }
        let (method, params) = accesses[2]
        try client.expect(EFAULT, "quiesced", method, params)
        try client.expect(ESRCH, "mm_exited", method, params)
    }
}
