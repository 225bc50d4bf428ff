import CLinux
import Glibc
import IOMMU
import JSONRPC
import TestSupport
import Testing

@testable import EmulatedIOMMU

/// Pages of a process in an IOAS.
struct ProcessMappingTests {
    private let bench: ServiceBench
    private let client: PlayedClient
    /// Four pages of this process.
    private let pages: UnsafeMutableRawBufferPointer
    private let va: UInt64

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
        pages = try Self.fourPages()
        va = UInt64(UInt(bitPattern: pages.baseAddress))
        try bench.run(
            """
            mm.open {"pid":\(getpid())}
            ioas.alloc {}
            device.bind {"name":"0000:04:00.0"}
            device.attach {"device":2,"pt":1}
            """, on: client)
    }

    private static func fourPages(at place: UnsafeMutableRawPointer? = nil) throws -> UnsafeMutableRawBufferPointer {
        let fixed = place == nil ? 0 : MAP_FIXED
        let mapped = mmap(place, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0)
        try #require(mapped != MAP_FAILED)
        let pages = UnsafeMutableRawBufferPointer(start: mapped, count: 4 * 4096)
        pages.initializeMemory(as: UInt8.self, repeating: 0x11)
        return pages
    }

    private func page(_ index: Int) throws -> UnsafeMutableRawPointer { try #require(pages.baseAddress) + index * 4096 }

    /// Maps all four at 0x10000.
    private func map(access: String = #"["read","write"]"#) throws {
        let params = #"{"ioas":1,"mm":1,"va":\#(va),"length":16384,"iova":"0x10000","access":\#(access)}"#
        #expect(try client.call("ioas.map", params)["iova"]?.stringValue == "0x10000")
    }

    private func read(_ iova: String, _ length: Int) throws -> [UInt8]? {
        try client.call("dma.read", #"{"device":2,"iova":"\#(iova)","length":\#(length)}"#)["data"]?.stringValue?
            .bytesOfBase64
    }

    // MARK: Data

    @Test func devicesReachThePagesOfTheProcess() throws {
        try map()
        pages[4096] = 0x22
        #expect(try read("0x10fff", 2) == [0x11, 0x22])
        // Across two pages, and nowhere else.
        try client.call("dma.write", #"{"device":2,"iova":"0x11ffe","data":"MzMzMw=="}"#)
        #expect(pages[8189] == 0x11 && pages[8190..<8194].allSatisfy { $0 == 0x33 } && pages[8194] == 0x11)
        let mapping = try client.call("ioas.mappings", #"{"ioas":1}"#)["mappings"]?[0]
        #expect(mapping?["mm"]?.intValue == 1 && mapping?["va"] == .hex(va))
        #expect(mapping?["memory"] == nil && mapping?["offset"] == nil)
        #expect(
            try client.call("ioas.unmap", #"{"ioas":1,"iova":"0x10000","length":16384}"#)["unmapped"] == .hex(16384))
        try client.expect(EFAULT, "f_translation", "dma.read", #"{"device":2,"iova":"0x10000","length":1}"#)
        try client.call("mm.close", #"{"mm":1}"#)
    }

    @Test func aTransferCrossesFromAMemoryObjectIntoAProcess() throws {
        try map()
        try client.call("memory.create", #"{"size":4096}"#)
        try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":"0x14000"}"#)
        try client.call("dma.write", #"{"device":2,"iova":"0x13fff","data":"REQ="}"#)
        #expect(pages[16383] == 0x44)
        #expect(try read("0x13ffe", 3) == [0x11, 0x44, 0x44])
        try client.call("memory.write", #"{"memory":1,"offset":0,"data":"VQ=="}"#)
        #expect(try read("0x13fff", 2) == [0x44, 0x55])
    }

    @Test func theBufferDecidesWhereAnAutomaticIOVALies() throws {
        try client.call("device.detach", #"{"device":2}"#)
        let answer = try client.call("ioas.map", #"{"ioas":1,"mm":1,"va":\#(va + 0x234),"length":64}"#)
        let iova = try #require(answer["iova"]?.unsignedValue)
        #expect(iova & 0xfff == 0x234)
    }

    @Test func manyAreMappedWithMemoryObjectsOrNone() throws {
        try client.call("memory.create", #"{"size":4096}"#)
        let first = #"{"mm":1,"va":\#(va),"length":4096,"iova":"0x10000"}"#
        let second = #"{"memory":1,"length":4096,"iova":"0x20000"}"#
        let outside = #"{"mm":1,"va":4096,"length":4096,"iova":"0x30000"}"#
        let error = try client.refusal("ioas.map_many", #"{"ioas":1,"mappings":[\#(first),\#(second),\#(outside)]}"#)
        #expect(error.reason == "va_not_mapped" && error.code == -Int(EFAULT))
        #expect(try client.call("ioas.mappings", #"{"ioas":1}"#)["mappings"]?.arrayValue?.isEmpty == true)
        let both = try client.call("ioas.map_many", #"{"ioas":1,"mappings":[\#(first),\#(second)]}"#)
        #expect(both["iovas"]?.arrayValue?.compactMap(\.stringValue) == ["0x10000", "0x20000"])
        #expect(try read("0x10000", 1) == [0x11])
    }

    // MARK: Copies

    @Test func aCopyKeepsThePagesAfterTheFirstIsGone() throws {
        try map()
        try client.call("ioas.alloc")
        try client.call(
            "ioas.copy", #"{"src_ioas":1,"src_iova":"0x11000","length":4096,"dst_ioas":4,"dst_iova":"0x50000"}"#)
        try client.call("ioas.unmap", #"{"ioas":1,"iova":"0x10000","length":16384}"#)
        try client.expect(EBUSY, "mm_mapped", "mm.close", #"{"mm":1}"#)
        try client.call("device.detach", #"{"device":2}"#)
        try client.call("device.attach", #"{"device":2,"pt":4}"#)
        pages[4096] = 0x77
        #expect(try read("0x50000", 2) == [0x77, 0x11])
        let mapping = try client.call("ioas.mappings", #"{"ioas":4}"#)["mappings"]?[0]
        #expect(mapping?["va"] == .hex(va + 4096))
        try client.call("ioas.unmap", #"{"ioas":4,"iova":0,"length":"0xffffffffffffffff"}"#)
        try client.call("mm.close", #"{"mm":1}"#)
    }

    // MARK: What the process changes

    @Test func whatTheProcessUnmapsIsGoneForTheDevice() throws {
        try map()
        munmap(try page(1), 4096)
        let error = try client.refusal("dma.read", #"{"device":2,"iova":"0x10ffe","length":8}"#)
        #expect(error.reason == "f_translation" && error.detail("event")?["address"] == .hex(0x11000))
        #expect(try read("0x10000", 2) == [0x11, 0x11])
        #expect(try read("0x12000", 2) == [0x11, 0x11])
        // What it maps there anew is what the device sees.
        _ = try Self.fourPages(at: try page(0))
        pages[4096] = 0x66
        #expect(try read("0x11000", 2) == [0x66, 0x11])
    }

    @Test func whatTheProcessProtectsIsProtected() throws {
        try map()
        mprotect(try page(0), 4096, PROT_READ)
        #expect(try read("0x10000", 1) == [0x11])
        try client.expect(EFAULT, "f_translation", "dma.write", #"{"device":2,"iova":"0x10000","data":"AA=="}"#)
        #expect(pages[0] == 0x11)
    }

    @Test func aFaultQueueHearsOfAPageThatIsGone() throws {
        try bench.run(
            """
            device.bind {"name":"0000:03:00.0"}
            fault.alloc {}
            hwpt.alloc {"device":4,"pt":1,"fault":5}
            device.attach {"device":4,"pt":6}
            """, on: client)
        try map()
        munmap(try page(0), 4096)
        let reader = try bench.connect()
        client.send("dma.read", #"{"device":4,"iova":"0x10000","length":1}"#)
        #expect(!client.hasLine)
        try reader.call("daemon.info")
        client.disconnect()
    }

    // MARK: Refusals

    /// Expects the refusal of the one method and of the other.
    private func expect(
        _ errno: Int32, _ reason: String, _ members: String, ioas: Int = 1, of client: PlayedClient? = nil
    ) throws {
        let client = client ?? self.client
        try client.expect(errno, reason, "ioas.map", #"{"ioas":\#(ioas),\#(members)}"#)
        try client.expect(errno, reason, "ioas.map_many", #"{"ioas":\#(ioas),"mappings":[{\#(members)}]}"#)
    }

    @Test func refusesWhatTheProcessDoesNotHave() throws {
        let place = #""mm":1,"va":\#(va),"length":8192,"iova":"0x10000","access""#
        mprotect(try page(1), 4096, PROT_READ)
        try expect(EPERM, "va_not_permitted", #"\#(place):["write"]"#)
        try client.call("ioas.map", #"{"ioas":1,\#(place):["read"]}"#)
        try client.call("ioas.unmap", #"{"ioas":1,"iova":"0x10000","length":8192}"#)
        munmap(try page(1), 4096)
        try expect(EFAULT, "va_not_mapped", #"\#(place):["read"]"#)
        let error = try client.refusal("ioas.map", #"{"ioas":1,\#(place):["read"]}"#)
        #expect(error.detail("va") == .hex(va + 4096))
        #expect(try client.call("ioas.mappings", #"{"ioas":1}"#)["mappings"]?.arrayValue?.isEmpty == true)
        // Nothing holds the address space.
        try client.call("mm.close", #"{"mm":1}"#)
    }

    @Test func refusesWhatIsNoProcess() throws {
        try client.call("mm.create")
        try expect(EINVAL, "mm_synthetic", #""mm":2,"va":4096,"length":4096"#)
        try expect(ENOENT, "unknown_mm", #""mm":7,"va":4096,"length":4096"#)
        // Ids that mean something else inside.
        try expect(ENOENT, "unknown_mm", #""mm":2147483649,"va":4096,"length":4096"#)
        try expect(ENOENT, "unknown_memory", #""memory":2147483649,"length":4096"#)
        try expect(ENOENT, "unknown_memory", #""memory":1073741825,"length":4096"#)
        try expect(ENOENT, "unknown_ioas", #""mm":1,"va":4096,"length":4096"#, ioas: 9)
        let child = try ChildProcess.idle()
        let mm = try client.id("mm.open", #"{"pid":\#(child.pid)}"#, "mm")
        child.kill()
        try expect(ESRCH, "mm_exited", #""mm":\#(mm),"va":4096,"length":4096"#)
    }

    @Test(arguments: [
        (#""length":4096"#, "memory"), (#""mm":1,"length":4096"#, "va"), (#""memory":1,"va":0,"length":4096"#, "va"),
        (#""memory":1,"mm":1,"va":0,"length":4096"#, "mm"), (#""mm":1,"va":0,"offset":0,"length":4096"#, "offset"),
    ]) func refusesHalfOfAnAddress(members: String, wrong: String) throws {
        try client.expectMistake("ioas.map", #"{"ioas":1,\#(members)}"#, naming: wrong)
        try client.expectMistake("ioas.map_many", #"{"ioas":1,"mappings":[{\#(members)}]}"#, naming: wrong)
    }

    @Test func refusesShapesAsOfMemoryObjects() throws {
        let place = #""mm":1,"iova":"0x10000","#
        try expect(EINVAL, "zero_length", place + #""va":\#(va),"length":0"#)
        try expect(EINVAL, "misaligned", place + #""va":\#(va + 1),"length":4096"#)
        try expect(EINVAL, "no_access", place + #""va":\#(va),"length":4096,"access":[]"#)
        try expect(EOVERFLOW, "iova_overflow", place + #""va":"0xffffffffffffffff","length":4096"#)
        try map()
        try expect(EEXIST, "already_mapped", #""mm":1,"va":\#(va),"length":4096,"iova":"0x11000""#)
    }

    @Test func physicalAddressesForPagesEnd() throws {
        let text = """
            [[smmu]]
            name = "smmu0"
            oas = 32

            [[device]]
            name = "0000:01:00.0"
            smmu = "smmu0"
            stream_ids = [1]
            """
        let client = try ServiceBench(file: text).connect()
        let size = 3 << 30
        let large = mmap(nil, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        try #require(large != MAP_FAILED)
        defer { munmap(large, size) }
        try client.call("mm.open", #"{"pid":\#(getpid())}"#)
        try client.call("ioas.alloc")
        let place = #""mm":1,"va":\#(UInt(bitPattern: large)),"length":\#(size),"access":["read"]"#
        try expect(ENOMEM, "no_physical_space", place, of: client)
        // What was not mapped holds nothing.
        try client.call("mm.close", #"{"mm":1}"#)
    }

    @Test func helpersThatDoNotHelp() throws {
        let backend = try #require(bench.service.backend as? EmulatedBackend)
        let memory = FailingMemory(over: backend.sva.memory, bench.executor) { .unreachable($0) }
        backend.sva.memory = memory
        let place = #""mm":1,"va":\#(va),"length":4096"#
        for (error, reason) in [
            (IOMMUError.helperLost, "memory_helper_lost"), (.noHelper, "no_memory_helper"),
            (.stuck, "address_space_stuck"),
        ] {
            memory.checking = error
            try expect(error.errno.rawValue, reason, place)
        }
        memory.checking = nil
        try map()
        try client.expect(EFAULT, "page_unreachable", "dma.read", #"{"device":2,"iova":"0x10000","length":1}"#)
    }
}
