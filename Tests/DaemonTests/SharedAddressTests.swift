import Foundation
import JSONRPC
import TestSupport
import Testing

/// Accelerators that work on the addresses of a process.
struct SharedAddressTests {
    private let daemon: RunningDaemon
    private let client: RPCClient
    private let device: Int

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
        device = try client.bind("uacce0")
    }

    @Test func aPointerOfThisProcessIsEnough() throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 4096)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 1)
        let address = UInt64(UInt(bitPattern: buffer.baseAddress))
        let files = [open("/proc/self/mem", O_RDWR), open("/proc/self/maps", O_RDONLY)]
        defer { files.forEach { close($0) } }
        let mm = try #require(try client.call("mm.open", "{}", descriptors: files)["mm"]?.intValue)
        let queue = try client.id("queue.open", #"{"device":\#(device),"mm":\#(mm)}"#, "queue")
        try client.expect(
            EINVAL, "queue_not_started", "queue.submit",
            #"{"queue":\#(queue),"op":"fill","dst":\#(address),"length":16}"#)
        #expect(try client.call("queue.start", #"{"queue":\#(queue)}"#)["state"]?.stringValue == "started")
        let filled = try client.call(
            "queue.submit", #"{"queue":\#(queue),"op":"fill","dst":\#(address),"length":8192,"value":66}"#)
        #expect(filled["completed"]?.intValue == 8192)
        #expect(buffer[0..<8192].allSatisfy { $0 == 66 })
        #expect(buffer[8192] == 1)
        try client.call(
            "queue.submit",
            """
            {"queue":\(queue),"op":"copy","src":\(address),"dst":\(address + 32768),"length":100,
             "timeout_ms":10000}
            """
        )
        #expect(buffer[32768..<32868].allSatisfy { $0 == 66 })
        let sum = try client.call("queue.submit", #"{"queue":\#(queue),"op":"checksum","src":\#(address),"length":3}"#)
        #expect(sum["checksum"]?.intValue == 0xd6c2_8d87)
        try client.expect(
            EFAULT, "f_translation", "queue.submit", #"{"queue":\#(queue),"op":"fill","dst":0,"length":16}"#)
        try client.expectMistake("queue.submit", #"{"queue":\#(queue),"op":"copy","src":0,"length":16}"#, naming: "dst")
        #expect(try client.call("queue.close", #"{"queue":\#(queue)}"#)["state"]?.stringValue == "started")
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
    }

    @Test func aProcessThatEndsQuiescesItsBonds() throws {
        let victim = try ChildProcess.idle()
        let mm = try client.id("mm.open", #"{"pid":\#(victim.pid)}"#, "mm")
        let queue = try client.id("queue.open", #"{"device":\#(device),"mm":\#(mm)}"#, "queue")
        try client.call("queue.start", #"{"queue":\#(queue)}"#)
        let bond = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#)
        _ = try client.call("events.subscribe", #"{"kinds":["mm_exit"]}"#)
        victim.signal(SIGKILL)
        victim.wait()
        #expect(try client.nextNotification()["params"]?["kind"]?.stringValue == "mm_exit")
        let listed = try client.call("sva.list")
        #expect(listed["bonds"]?[0]?["state"]?.stringValue == "quiesced")
        try client.expect(ESRCH, "mm_exited", "queue.submit", #"{"queue":\#(queue),"op":"fill","dst":4096,"length":1}"#)
        try client.expect(ESRCH, "mm_exited", "queue.start", #"{"queue":\#(queue)}"#)
        try client.expect(ESRCH, "mm_exited", "sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#)
        // DMA that still comes is stopped, and nothing is reported.
        let before = try client.id("smmu.events", #"{"smmu":"smmu0"}"#, "last")
        let pasid = try #require(bond["pasid"]?.intValue)
        try client.expect(
            EFAULT, "quiesced", "dma.read", #"{"device":\#(device),"pasid":\#(pasid),"iova":4096,"length":1}"#)
        #expect(try client.id("smmu.events", #"{"smmu":"smmu0"}"#, "last") == before)
        try client.expect(EBUSY, "mm_bound", "mm.close", #"{"mm":\#(mm)}"#)
        #expect(try client.call("queue.close", #"{"queue":\#(queue)}"#)["state"]?.stringValue == "zombie")
        #expect(try client.id("sva.unbind", #"{"bond":\#(try #require(bond["bond"]?.intValue))}"#, "users") == 0)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
    }

    enum FirstCall: CaseIterable { case bind, open, start, stop, submit, read }

    /// Whatever comes first after the end of a process hears of it, also if nobody has told of it yet.
    @Test(arguments: FirstCall.allCases) func theFirstCallAfterTheEndIsRefused(first: FirstCall) throws {
        let victim = try ChildProcess.idle()
        let mm = try client.id("mm.open", #"{"pid":\#(victim.pid)}"#, "mm")
        let both = #"{"device":\#(device),"mm":\#(mm)}"#
        let queue = try client.id("queue.open", both, "queue")
        if first != .start { try client.call("queue.start", #"{"queue":\#(queue)}"#) }
        let pasid = try client.id("sva.bind", both, "pasid")
        victim.signal(SIGKILL)
        victim.wait()
        switch first {
        case .bind: try client.expect(ESRCH, "mm_exited", "sva.bind", both)
        case .open: try client.expect(ESRCH, "mm_exited", "queue.open", both)
        case .start: try client.expect(ESRCH, "mm_exited", "queue.start", #"{"queue":\#(queue)}"#)
        case .stop: try client.expect(ESRCH, "mm_exited", "queue.stop", #"{"queue":\#(queue)}"#)
        case .submit:
            try client.expect(
                ESRCH, "mm_exited", "queue.submit", #"{"queue":\#(queue),"op":"fill","dst":4096,"length":1}"#)
        case .read:
            try client.expect(
                EFAULT, "quiesced", "dma.read", #"{"device":\#(device),"pasid":\#(pasid),"iova":4096,"length":1}"#)
        }
    }

    @Test func opensByPidfdAndRefusesWhatHasEnded() throws {
        let child = try ChildProcess.idle()
        let pidfd = try openPidfd(child.pid)
        try #require(pidfd >= 0)
        defer { close(pidfd) }
        let first = try #require(try client.call("mm.open", "{}", descriptors: [pidfd])["mm"]?.intValue)
        #expect(try client.id("mm.open", #"{"pid":\#(child.pid)}"#, "mm") == first)
        child.signal(SIGKILL)
        child.wait()
        try client.expect(ESRCH, "no_such_process", "mm.open", descriptors: [pidfd])
        try client.expect(EBADF, "descriptor_missing", "mm.open")
    }

    @Test func aPidAndADescriptorAtOnceAreRefused() throws {
        let child = try ChildProcess.idle()
        let pidfd = try openPidfd(child.pid)
        try #require(pidfd >= 0)
        defer { close(pidfd) }
        let byPID = #"{"pid":\#(child.pid)}"#
        try client.expect(EINVAL, "pid_and_descriptors", "mm.open", byPID, descriptors: [pidfd])
        // Neither of the two was taken, and the descriptor is no one else's.
        try client.expect(EBADF, "descriptor_missing", "mm.open")
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.count == 1)
        // A descriptor for the call behind it is none of its business, in a batch or not.
        let memory = try SharedMemory(size: 4096)
        let calls = [
            #"{"jsonrpc":"2.0","id":1,"method":"mm.open","params":\#(byPID)}"#,
            #"{"jsonrpc":"2.0","id":2,"method":"memory.import"}"#,
        ]
        try client.send(line: calls.joined(separator: "\n"), descriptors: [memory.descriptor])
        #expect(try JSONValue(parsing: try #require(try client.receiveLine()))["result"]?["mm"]?.intValue == 1)
        #expect(try JSONValue(parsing: try #require(try client.receiveLine()))["result"]?["memory"]?.intValue == 1)
        try client.send(line: "[" + calls.joined(separator: ",") + "]", descriptors: [memory.descriptor])
        let batch = try JSONValue(parsing: try #require(try client.receiveLine()))
        #expect(batch[0]?["result"]?["mm"]?.intValue == 1)
        #expect(batch[1]?["result"]?["memory"]?.intValue == 2)
    }
}

/// pidfd_open(2), which Swift's Glibc does not show.
private func openPidfd(_ pid: pid_t) throws -> Int32 {
    typealias Function = @convention(c) (pid_t, UInt32) -> Int32
    let symbol = try #require(dlsym(UnsafeMutableRawPointer(bitPattern: 0), "pidfd_open"))
    return unsafeBitCast(symbol, to: Function.self)(pid, 0)
}
