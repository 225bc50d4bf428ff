import Foundation
import JSONRPC
import LinuxIO
import Logging
import Synchronization
import Systemd
import TestSupport
import Testing

/// Keeps entries instead of sending them.
private final class KeptEntries: JournalSink {
    private let log = Mutex<[JournalEntry]>([])

    var all: [JournalEntry] { log.withLock { $0 } }

    func send(_ entry: JournalEntry) throws(SystemError) {
        log.withLock { $0.append(entry) }
    }
}

/// What a fault means here: in the refusal of the access, in the SMMU's trace, to whoever has subscribed, and in the
/// answer of a translation.
struct FaultMeaningTests {
    private let bench: ServiceBench
    private let client: PlayedClient

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
    }

    /// Of a read of one byte that is refused; the same stands in the trace.
    private func meaning(_ device: Int, _ iova: String, _ more: String = "") throws -> String {
        let error = try client.refusal("dma.read", #"{"device":\#(device),"iova":"\#(iova)","length":1\#(more)}"#)
        let event = try #require(error.details.first { $0.key == "event" }?.value)
        let meaning = try #require(event["meaning"]?.stringValue)
        #expect(error.message.hasSuffix(": " + meaning))
        #expect(error.hint == event["hint"]?.stringValue)
        let trace = try client.call("smmu.events", #"{"smmu":"smmu0"}"#)
        #expect(trace["events"]?.arrayValue?.last?["meaning"]?.stringValue == meaning)
        let seen = try client.call("smmu.translate", #"{"device":\#(device),"iova":"\#(iova)"\#(more)}"#)
        #expect(seen["event"]?["meaning"]?.stringValue == meaning)
        return meaning
    }

    @Test func theNearestMappingIsNamed() throws {
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        let absence = "nothing of ioas \(ioas) covers 0x300000; "
        #expect(try meaning(device, "0x300000") == absence + "it maps nothing at all")
        let memory = try client.id("memory.create", #"{"size":"0x200000"}"#, "memory")
        func map(_ iova: String) throws {
            try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":4096,"iova":"\#(iova)"}"#)
        }
        try map("0x400000")
        #expect(try meaning(device, "0x300000") == absence + "the nearest mapping begins at 0x400000")
        try map("0x1ff000")
        #expect(try meaning(device, "0x300000") == absence + "the nearest mapping begins at 0x400000")
        try map("0x201000")
        #expect(try meaning(device, "0x300000") == absence + "the nearest mapping ends at 0x201fff")
        let error = try client.refusal("dma.read", #"{"device":\#(device),"iova":"0x300000","length":1}"#)
        #expect(error.details.contains { $0.key == "ioas" && $0.value.intValue == ioas })
        #expect(error.details.contains { $0.key == "mapping_last" && $0.value.stringValue == "0x201fff" })
    }

    @Test func theMissingRightIsNamed() throws {
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        let memory = try client.id("memory.create", #"{"size":4096}"#, "memory")
        try client.call(
            "ioas.map", #"{"ioas":\#(ioas),"memory":\#(memory),"length":4096,"iova":4096,"access":["read"]}"#)
        let error = try client.refusal("dma.write", #"{"device":\#(device),"iova":4096,"data":"\#("x".base64)"}"#)
        #expect(
            error.message.hasSuffix(
                "F_PERMISSION: the mapping of ioas \(ioas) from 0x1000 to 0x1fff may not be written"))
        let seen = try client.call("smmu.translate", #"{"device":\#(device),"iova":4096,"access":"write"}"#)
        #expect(seen["event"]?["hint"]?.stringValue == "map it again with access to read and write")
    }

    @Test func pasidsAreToldApart() throws {
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let bits = try #require(
            try client.call("device.hw_info", #"{"device":\#(device)}"#)["max_pasid_log2"]?.intValue)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        let hwpt = try client.id(
            "hwpt.alloc", #"{"device":\#(device),"pt":\#(ioas),"flags":["pasid"]}"#, "hwpt")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt)}"#)
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(hwpt),"pasid":5}"#)
        #expect(
            try meaning(device, "0x1000", #","pasid":6"#)
                == "PASID 6 of device 0000:01:00.0 is attached to nothing")
        #expect(
            try meaning(device, "0x1000", #","pasid":5"#)
                == "nothing of ioas \(ioas) covers 0x1000; it maps nothing at all")
        #expect(
            try meaning(device, "0x1000", #","pasid":\#(1 << bits)"#)
                == "PASID \(1 << bits) is above those of device 0000:01:00.0, which have \(bits) bits")
    }

    @Test func anUnattachedDeviceIsToldSoEverywhere() throws {
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let error = try client.refusal("dma.read", #"{"device":\#(device),"iova":0,"length":1}"#)
        #expect(error.reason == "blocked")
        #expect(error.message.hasSuffix(": device 0000:01:00.0 is attached to nothing"))
        let seen = try client.call("smmu.translate", #"{"device":\#(device),"iova":0}"#)
        #expect(seen["terminated"]?.stringValue == "ste_abort")
        #expect(seen["meaning"]?.stringValue == "device 0000:01:00.0 is attached to nothing")
        #expect(seen["hint"]?.stringValue == "call device.attach first")
        let nobody = try client.call("smmu.translate", #"{"smmu":"smmu0","stream_id":"0xffff","iova":0}"#)
        #expect(nobody["event"]?["meaning"]?.stringValue == "no device has StreamID 0xffff")
    }

    @Test func subscribersAreToldToo() throws {
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        try client.call("events.subscribe", #"{"kinds":["smmu_event"]}"#)
        try client.expect(
            EFAULT, "f_translation", "dma.read", #"{"device":\#(device),"iova":"0x5000","length":1}"#)
        let event = try #require(try client.nextNotification()["params"])
        #expect(event["meaning"]?.stringValue == "nothing of ioas \(ioas) covers 0x5000; it maps nothing at all")
        #expect(event["hint"]?.stringValue?.hasPrefix("map it with ioas.map") == true)
    }

    @Test func aProcessThatHasEndedIsTold() throws {
        let device = try client.bind("uacce0")
        let mm = try client.id("mm.create", "{}", "mm")
        let bond = try client.call("sva.bind", #"{"device":\#(device),"mm":\#(mm)}"#)
        let pasid = try #require(bond["pasid"]?.intValue)
        let read = #"{"device":\#(device),"pasid":\#(pasid),"iova":"0x5000","length":1}"#
        let forbidden = try client.refusal("dma.read", read)
        #expect(
            forbidden.message.hasSuffix(
                "the address space behind PASID \(pasid) has nothing at 0x5000 that may be read"))
        try client.call("mm.exit", #"{"mm":\#(mm)}"#)
        let gone = try client.refusal("dma.read", read)
        #expect(gone.reason == "quiesced")
        #expect(gone.message.hasSuffix("the address space behind PASID \(pasid) has ended"))
    }

    @Test func guestTablesAndTheirParentAreToldApart() throws {
        let guest = try NestedGuest(client)
        try guest.attach()
        let own = try client.refusal("dma.read", #"{"device":\#(guest.device),"iova":"0x7000000","length":8}"#)
        #expect(own.message.contains("the guest's own tables, stage 1 of hwpt "))
        guest.set(NestedGuest<PlayedClient>.Layout.tables[3] + 8, 0x7_2000_0000 | 0xf47)
        let lost = try client.refusal("dma.read", #"{"device":\#(guest.device),"iova":"0x1000","length":8}"#)
        #expect(
            lost.message.contains(
                "the guest's tables lead to IPA 0x720000000: nothing of ioas \(guest.ioas) covers 0x720000000; "))
    }

    /// The guest's CD of the stream, with the wrong endianness.
    @Test func anIllegalFieldIsNamedWithItsValue() throws {
        let guest = try NestedGuest(client)
        try guest.attach()
        guest.set(NestedGuest<PlayedClient>.Layout.context, 0x9 << 48 | 0xe204_c000_3510 | 1 << 15)
        let refused = try client.refusal("dma.read", #"{"device":\#(guest.device),"iova":"0x1000","length":8}"#)
        #expect(refused.message.hasSuffix("C_BAD_CD: the CD may not have ENDI = 0x1"), "\(refused.message)")
    }

    @Test func theJournalHasThemAFewAtATime() throws {
        let kept = KeptEntries()
        bench.service.setLog(
            Logger(label: "iommud") { JournalLogHandler(label: $0, fieldPrefix: "IOMMUD_", sink: kept) })
        let device = try client.id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":\#(device),"pt":\#(ioas)}"#)
        for _ in 0..<20 {
            try client.expect(
                EFAULT, "f_translation", "dma.read", #"{"device":\#(device),"iova":"0x5000","length":1}"#)
        }
        let entries = kept.all.filter { $0.message.contains("F_TRANSLATION") }
        #expect(entries.count == 5)
        let entry = try #require(entries.first)
        #expect(
            entry.message == "smmu0: F_TRANSLATION from device 0000:01:00.0 at 0x5000: "
                + "nothing of ioas \(ioas) covers 0x5000; it maps nothing at all")
        let fields = entry.fields.map { String(decoding: $0.bytes, as: UTF8.self) }
        for field in [
            "MESSAGE_ID=83ae5c17d94f4b06b2f16d0e48a795c3", "IOMMUD_SMMU=smmu0", "IOMMUD_DEVICE=0000:01:00.0",
            "IOMMUD_EVENT=F_TRANSLATION", "IOMMUD_STREAM_ID=0x100", "IOMMUD_ADDRESS=0x5000", "IOMMUD_UID=\(getuid())",
        ] {
            #expect(fields.contains(field), "\(field) is not among \(fields)")
        }
    }
}
