import Foundation
import JSONRPC
import TestSupport
import Testing

/// Address spaces that clients make up, and what becomes of bonds and queues.
struct SharedAddressMethodTests {
    private let client: PlayedClient
    private let device: Int

    init() throws {
        client = try ServiceBench().connect()
        device = try client.bind("uacce0")
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
