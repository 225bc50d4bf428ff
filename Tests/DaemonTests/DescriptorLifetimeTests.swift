import CLinux
import Foundation
import JSONRPC
import LinuxIO
import TestSupport
import Testing

/// A descriptor that a client passes is closed once, whatever comes of the call.
struct DescriptorLifetimeTests {
    /// A call that is refused although, or because, of the descriptors that come with it.
    private struct Refused {
        let method: String
        let errno: Int32
        let reason: String
        var params = "{}"
        let descriptors: [Int32]
    }

    private let daemon: RunningDaemon
    private let client: RPCClient
    private let files: Files
    private let ended: ChildProcess

    init() throws {
        daemon = try RunningDaemon(
            configuration: "[limits]\nmemory_object_bytes = \"1 MiB\"\nobjects_per_session = 4\n")
        client = try daemon.connect()
        ended = try ChildProcess.idle()
        files = try Files(ended)
        ended.signal(SIGKILL)
        ended.wait()
    }

    /// What a client might send.
    private final class Files {
        let pipe: Int32
        let writer: Int32
        let memory: Int32
        let emptyMemory: Int32
        let largeMemory: Int32
        let writeOnlyMemory: Int32
        let mem: Int32
        let maps: Int32
        let endedMem: Int32
        let endedMaps: Int32
        let endedPidfd: Int32
        let eventfd: Int32

        init(_ process: ChildProcess) throws {
            var ends: [Int32] = [-1, -1]
            try #require(Glibc.pipe(&ends) == 0)
            (pipe, writer) = (ends[0], ends[1])
            func memory(_ size: Int) throws -> Int32 {
                let file = clinux_memfd_create("passed", false)
                try #require(file >= 0 && ftruncate(file, size) == 0)
                return file
            }
            (self.memory, emptyMemory, largeMemory) = (try memory(4096), try memory(0), try memory(2 << 20))
            writeOnlyMemory = open("/proc/self/fd/\(self.memory)", O_WRONLY)
            (mem, maps) = (open("/proc/self/mem", O_RDWR), open("/proc/self/maps", O_RDONLY))
            endedMem = open("/proc/\(process.pid)/mem", O_RDWR)
            endedMaps = open("/proc/\(process.pid)/maps", O_RDONLY)
            endedPidfd = clinux_pidfd_open(process.pid)
            eventfd = clinux_make_eventfd()
            try #require(all.allSatisfy { $0 >= 0 })
        }

        private var all: [Int32] {
            [
                pipe, writer, memory, emptyMemory, largeMemory, writeOnlyMemory, mem, maps, endedMem, endedMaps,
                endedPidfd, eventfd,
            ]
        }

        deinit { for file in all { close(file) } }
    }

    private var refusals: [Refused] {
        let vsmmu = #"{"vsmmu":1,"irq":"evtq"}"#
        return [
            .init(method: "memory.import", errno: EINVAL, reason: "not_a_memfd", descriptors: [files.pipe]),
            .init(method: "memory.import", errno: EINVAL, reason: "empty_memory", descriptors: [files.emptyMemory]),
            .init(method: "memory.import", errno: EFBIG, reason: "memory_too_large", descriptors: [files.largeMemory]),
            .init(method: "memory.import", errno: EINVAL, reason: "not_readable", descriptors: [files.writeOnlyMemory]),
            .init(
                method: "mm.open", errno: EINVAL, reason: "pid_and_descriptors", params: #"{"pid":1}"#,
                descriptors: [files.mem, files.maps]),
            .init(method: "mm.open", errno: EBADF, reason: "descriptor_missing", descriptors: [files.mem]),
            .init(
                method: "mm.open", errno: EINVAL, reason: "not_mem_and_maps", descriptors: [files.pipe, files.memory]),
            .init(method: "mm.open", errno: EINVAL, reason: "not_mem_and_maps", descriptors: [files.mem, files.mem]),
            .init(
                method: "mm.open", errno: ESRCH, reason: "mm_exited", descriptors: [files.endedMem, files.endedMaps]),
            .init(method: "mm.open", errno: ESRCH, reason: "no_such_process", descriptors: [files.endedPidfd]),
            .init(
                method: "fd.export", errno: EOPNOTSUPP, reason: "no_descriptor_export",
                params: #"{"names":[],"for_process":true}"#, descriptors: [files.endedPidfd]),
            .init(
                method: "vsmmu.set_irq", errno: EINVAL, reason: "not_an_eventfd", params: vsmmu,
                descriptors: [files.pipe]),
            .init(
                method: "vsmmu.set_irq", errno: ENOENT, reason: "unknown_vsmmu", params: #"{"vsmmu":7,"irq":"evtq"}"#,
                descriptors: [files.eventfd]),
        ]
    }

    private var refusalsOfAFullSession: [Refused] {
        [
            .init(method: "memory.import", errno: EDQUOT, reason: "quota_exceeded", descriptors: [files.memory]),
            .init(method: "mm.open", errno: EDQUOT, reason: "quota_exceeded", descriptors: [files.mem, files.maps]),
        ]
    }

    private func check(_ calls: [Refused], _ before: Int) throws {
        for call in calls {
            let error = try client.refusal(call.method, call.params, descriptors: call.descriptors)
            #expect(error.code == -Int(call.errno), "\(call): \(error)")
            #expect(error.reason == call.reason, "\(call): \(error)")
            #expect(daemon.process.descriptorCount == before, "\(call)")
        }
    }

    /// Has the daemon start the process that looks into others for it; it stays.
    private func startHelper() throws {
        let mm = try #require(try client.call("mm.open", "{}", descriptors: [files.mem, files.maps])["mm"]?.intValue)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
    }

    /// Also what it needs itself later: a descriptor closed twice takes another one along.
    @Test func whatIsRefusedIsClosedOnce() throws {
        _ = try client.call("vsmmu.create")
        // What is made for the first interrupt stays.
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"gerror"}"#, descriptors: [files.eventfd])
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"gerror","enable":false}"#)
        try startHelper()
        let before = daemon.process.descriptorCount
        try check(refusals, before)
        for _ in 0..<3 { _ = try client.call("ioas.alloc") }
        try check(refusalsOfAFullSession, before)

        let taking = try #require(try client.call("rpc.discover")["methods"]?.arrayValue).filter {
            $0["x-takes-fds"]?["maximum"]?.intValue != 0
        }
        #expect(Set(taking.compactMap { $0["name"]?.stringValue }) == Set(refusals.map(\.method)))
    }

    @Test func whatIsKeptIsClosedWithWhatKeepsIt() throws {
        _ = try client.call("vsmmu.create")
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"gerror"}"#, descriptors: [files.eventfd])
        try startHelper()
        let before = daemon.process.descriptorCount
        // One in the place of another; a memory object and a copy of its memfd on the way out; an address space.
        try client.call("vsmmu.set_irq", #"{"vsmmu":1,"irq":"gerror"}"#, descriptors: [files.eventfd])
        #expect(daemon.process.descriptorCount == before)
        try client.call("memory.import", "{}", descriptors: [files.memory])
        try client.call("memory.export", #"{"memory":1}"#)
        #expect(client.takeDescriptors().count == 1)
        // The copy is closed once it is sent: before the next call.
        _ = try client.call("daemon.info")
        #expect(daemon.process.descriptorCount == before + 1)
        let mm = try #require(try client.call("mm.open", "{}", descriptors: [files.mem, files.maps])["mm"]?.intValue)
        #expect(daemon.process.descriptorCount == before + 3)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
        try client.call("memory.close", #"{"memory":1}"#)
        #expect(daemon.process.descriptorCount == before)
        try client.call("vsmmu.destroy", #"{"vsmmu":1}"#)
        #expect(daemon.process.descriptorCount == before - 1)
    }
}
