import CLinux
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
        device = try client.id("device.bind", #"{"name":"uacce0"}"#, "device")
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

    /// `refers_to` of all objects of the session names objects of the session.
    private func expectWholeGraph() throws {
        let objects = try #require(try client.call("session.objects")["objects"]?.arrayValue)
        func name(_ object: JSONValue) -> String {
            "\(object["kind"]?.stringValue ?? "?") \(object["id"]?.intValue ?? 0)"
        }
        let names = Set(objects.map(name))
        for object in objects {
            for reference in object["refers_to"]?.arrayValue ?? [] {
                #expect(names.contains(name(reference)), "\(name(object)) refers to \(name(reference))")
            }
        }
    }

    @Test func unbindingADeviceEndsItsBonds() throws {
        let mm = try client.id("mm.create", "{}", "mm")
        let bond = try client.id("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#, "bond")
        try client.expect(EBUSY, "mm_bound", "mm.close", #"{"mm":\#(mm)}"#)
        try client.call("device.unbind", #"{"device":\#(device)}"#)
        #expect(try client.call("sva.list")["bonds"]?.arrayValue?.isEmpty == true)
        try client.expect(ENOENT, "unknown_bond", "sva.unbind", #"{"bond":\#(bond)}"#)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
    }

    @Test func aBondOutlivesItsDeviceAsLongAsAQueueHoldsIt() throws {
        let mm = try client.id("mm.create", "{}", "mm")
        let queue = try client.id("queue.open", #"{"device":\#(device),"mm":\#(mm)}"#, "queue")
        _ = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#)
        try client.call("device.unbind", #"{"device":\#(device)}"#)
        // The id means another device now.
        let other = try client.id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
        #expect(other == device)
        let left = try client.call("sva.list")["bonds"]
        #expect(left?.arrayValue?.count == 1)
        #expect(left?[0]?["state"]?.stringValue == "gone")
        #expect(left?[0]?["users"]?.intValue == 1)
        #expect(left?[0]?["device"] == nil)
        try expectWholeGraph()
        try client.expect(ENODEV, "device_unbound", "queue.start", #"{"queue":\#(queue)}"#)
        try client.expect(EBUSY, "mm_bound", "mm.close", #"{"mm":\#(mm)}"#)
        #expect(try client.call("queue.close", #"{"queue":\#(queue)}"#)["state"]?.stringValue == "zombie")
        #expect(try client.call("sva.list")["bonds"]?.arrayValue?.isEmpty == true)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
    }

    @Test func aBondOfARemovedDeviceIsListedUntilItIsUnbound() throws {
        let mm = try client.id("mm.create", "{}", "mm")
        let first = try client.id("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#, "bond")
        let second = try client.id("mm.create", "{}", "mm")
        _ = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(second)}"#)
        try client.call("device.remove", #"{"name":"uacce0"}"#)
        let gone = try #require(try client.call("sva.list")["bonds"]?.arrayValue)
        #expect(gone.map { $0["state"]?.stringValue } == ["gone", "gone"])
        #expect(gone.allSatisfy { $0["device"]?.intValue == device })
        try client.expect(EBUSY, "mm_bound", "mm.close", #"{"mm":\#(mm)}"#)
        #expect(try client.id("sva.unbind", #"{"bond":\#(first)}"#, "users") == 0)
        try client.call("mm.close", #"{"mm":\#(mm)}"#)
        try expectWholeGraph()
        // The rest goes with the device's object.
        try client.call("device.unbind", #"{"device":\#(device)}"#)
        #expect(try client.call("sva.list")["bonds"]?.arrayValue?.isEmpty == true)
        try client.call("mm.close", #"{"mm":\#(second)}"#)
        #expect(try client.call("session.objects")["objects"]?.arrayValue?.isEmpty == true)
    }

    @Test func syntheticAddressSpacesFaultTheirPagesIn() throws {
        let memory = try client.id("memory.create", #"{"size":65536}"#, "memory")
        let mm = try client.id("mm.create", "{}", "mm")
        try client.call(
            "mm.map", #"{"mm":\#(mm),"va":"0x7f0000000000","memory":\#(memory),"length":8192,"populate":false}"#)
        let bond = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#)
        let again = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#)
        #expect(again["bond"] == bond["bond"])
        #expect(again["pasid"] == bond["pasid"])
        let pasid = try #require(bond["pasid"]?.intValue)
        let written = try client.call(
            "dma.write",
            """
            {"device":\(device),"pasid":\(pasid),"iova":"0x7f0000000ffe","data":"\("span".base64)",
             "timeout_ms":10000}
            """
        )
        #expect(written["written"]?.intValue == 4)
        let data = try client.call("memory.read", #"{"memory":\#(memory),"offset":"0xffe","length":4}"#)
        #expect(data["data"]?.stringValue == "span".base64)
        try client.call("cpu.tlbi", #"{"mm":\#(mm)}"#)
        try client.call("mm.unmap", #"{"mm":\#(mm),"va":"0x7f0000000000","length":8192}"#)
        try client.expect(
            EFAULT, "f_translation", "dma.read",
            #"{"device":\#(device),"pasid":\#(pasid),"iova":"0x7f0000000000","length":1}"#)
        try client.call("mm.exit", #"{"mm":\#(mm)}"#)
        try client.call("mm.exit", #"{"mm":\#(mm)}"#)
        #expect(try client.call("sva.list")["bonds"]?[0]?["users"]?.intValue == 2)
        let cd = try client.call("smmu.cd", #"{"device":\#(device),"substream_id":\#(pasid)}"#)
        #expect(cd["fields"]?["EPD0"]?.intValue == 1)
        #expect(cd["fields"]?["R"]?.intValue == 0)
    }

    @Test func aQueueOfARemovedDeviceAnswersENODEV() throws {
        let mm = try client.id("mm.create", "{}", "mm")
        let queue = try client.id("queue.open", #"{"device":\#(device),"mm":\#(mm)}"#, "queue")
        try client.call("queue.start", #"{"queue":\#(queue)}"#)
        try client.call("device.remove", #"{"name":"uacce0"}"#)
        try client.expect(
            ENODEV, "device_removed", "queue.submit", #"{"queue":\#(queue),"op":"fill","dst":4096,"length":1}"#)
        try client.expect(ENODEV, "device_removed", "queue.stop", #"{"queue":\#(queue)}"#)
        #expect(try client.call("queue.close", #"{"queue":\#(queue)}"#)["state"]?.stringValue == "zombie")
        try client.expect(ENOENT, "unknown_queue", "queue.close", #"{"queue":\#(queue)}"#)
    }

    @Test func aDeviceWithoutPasidsCannotShare() throws {
        let plain = try client.id("device.bind", #"{"name":"0000:02:00.0"}"#, "device")
        let mm = try client.id("mm.create", "{}", "mm")
        try client.expect(ENODEV, "no_sva", "sva.bind", #"{"device":\#(plain),"mm":\#(mm)}"#)
        try client.expect(ENODEV, "no_queues", "queue.open", #"{"device":\#(plain),"mm":\#(mm)}"#)
    }
}

/// pidfd_open(2), which Swift's Glibc does not show.
private func openPidfd(_ pid: pid_t) throws -> Int32 {
    typealias Function = @convention(c) (pid_t, UInt32) -> Int32
    let symbol = try #require(dlsym(UnsafeMutableRawPointer(bitPattern: 0), "pidfd_open"))
    return unsafeBitCast(symbol, to: Function.self)(pid, 0)
}
