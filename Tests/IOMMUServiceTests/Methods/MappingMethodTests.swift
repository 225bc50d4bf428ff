import Foundation
import JSONRPC
import TestSupport
import Testing

/// Memory objects, and what is mapped of them.
struct MappingMethodTests {
    private let client: PlayedClient

    init() throws { client = try ServiceBench().connect() }

    @Test func transfersAreAsLongAsTheConfigurationSays() throws {
        let bench = try ServiceBench(file: "[limits]\nmessage_bytes = \"16 MiB\"\ntransfer_bytes = \"4 MiB\"\n")
        let client = try bench.connect()
        _ = try client.call("memory.create", #"{"size":8388608}"#)
        func write(_ count: Int) throws -> JSONValue {
            let data = Data(repeating: 0x5a, count: count).base64EncodedString()
            return try client.call("memory.write", #"{"memory":1,"offset":0,"data":"\#(data)"}"#)
        }
        #expect(try write(4 << 20)["written"]?.intValue == 4 << 20)
        #expect(throws: RPCError.self) { try write((4 << 20) + 1) }
        let read = try client.call("memory.read", #"{"memory":1,"offset":4194303,"length":2}"#)
        #expect(read["data"]?.stringValue == Data([0x5a, 0]).base64EncodedString())
    }

    @Test func refusesWhatIsNoMemfd() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { ends.forEach { close($0) } }
        try client.expect(EINVAL, "not_a_memfd", "memory.import", descriptors: [ends[0]])
        try client.expect(EBADF, "descriptor_missing", "memory.import")
        let file = open("/proc/self/status", O_RDONLY)
        defer { close(file) }
        try client.expect(EINVAL, "not_a_memfd", "memory.import", descriptors: [file])
        #expect(try client.call("session.objects", "{}")["objects"]?.arrayValue?.isEmpty == true)
    }

    @Test func mapsManyOrNone() throws {
        _ = try client.call("memory.create", #"{"size":1048576}"#)
        _ = try client.call("ioas.alloc")
        let good = try client.call(
            "ioas.map_many",
            #"{"ioas":1,"mappings":[{"memory":1,"length":4096,"iova":4096},{"memory":1,"offset":4096,"length":4096}]}"#)
        #expect(good["iovas"]?.arrayValue?.count == 2)
        #expect(good["iovas"]?[0]?.stringValue == "0x1000")
        let error = try client.refusal(
            "ioas.map_many",
            """
            {"ioas":1,"mappings":[{"memory":1,"length":4096,"iova":"0x10000"},
             {"memory":1,"length":4096,"iova":4096}]}
            """
        )
        #expect(error.code == -Int(EEXIST) && error.reason == "already_mapped")
        #expect(error.details.contains(JSONValue.Member(key: "index", value: .integer(1))))
        #expect(try client.call("ioas.mappings", #"{"ioas":1}"#)["mappings"]?.arrayValue?.count == 2)
    }

    @Test func pagesThroughMappings() throws {
        _ = try client.call("memory.create", #"{"size":1048576}"#)
        _ = try client.call("ioas.alloc")
        for page in 0..<10 {
            try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":\#(page * 8192)}"#)
        }
        var seen: [String] = []
        var start: String? = "0x0"
        while let from = start {
            let page = try client.call("ioas.mappings", #"{"ioas":1,"start":"\#(from)","limit":3}"#)
            seen += (page["mappings"]?.arrayValue ?? []).compactMap { $0["iova"]?.stringValue }
            start = page["next"]?.stringValue
        }
        #expect(seen == (0..<10).map { "0x" + String($0 * 8192, radix: 16) })
    }

    @Test func copiesRestrictsAndSetsOptions() throws {
        _ = try client.call("memory.create", #"{"size":65536}"#)
        _ = try client.call("ioas.alloc")
        _ = try client.call("ioas.alloc")
        try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":65536,"iova":"0x10000"}"#)
        let copied = try client.call(
            "ioas.copy",
            #"{"src_ioas":1,"src_iova":"0x10000","length":65536,"dst_ioas":2,"dst_iova":"0x50000","access":["read"]}"#)
        #expect(copied["iova"]?.stringValue == "0x50000")
        try client.call("ioas.allow_iovas", #"{"ioas":2,"ranges":[{"start":"0x100000","last":"0x1fffff"}]}"#)
        let chosen = try client.call("ioas.map", #"{"ioas":2,"memory":1,"length":4096}"#)
        let iova = try #require(chosen["iova"]?.unsignedValue)
        #expect((0x100000...0x1ff000).contains(iova))
        let ranges = try client.call("ioas.iova_ranges", #"{"ioas":1}"#)
        #expect(ranges["ranges"]?[0]?["start"]?.stringValue == "0x0")
        #expect(ranges["ranges"]?[0]?["last"]?.stringValue == "0xffffffffffffffff")
        #expect(ranges["alignment"]?.unsignedValue == 1)
        #expect(try client.call("ioas.get_option", #"{"ioas":1}"#)["huge_pages"]?.boolValue == true)
        _ = try client.call("ioas.alloc")
        #expect(
            try client.call("ioas.set_option", #"{"ioas":3,"huge_pages":false}"#)["huge_pages"]?.boolValue == false)
        #expect(try client.call("ioas.iova_ranges", #"{"ioas":3}"#)["alignment"]?.unsignedValue == 4096)
    }

    @Test func destroysAndReusesIds() throws {
        _ = try client.call("ioas.alloc")
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 2)
        try client.call("object.destroy", #"{"id":1}"#)
        try client.expect(ENOENT, "unknown_object", "object.destroy", #"{"id":1}"#)
        #expect(try client.id("ioas.alloc", "{}", "ioas") == 1)
        for id in ["0", "77", "4294967295", "18446744073709551615"] {
            try client.expect(ENOENT, "unknown_object", "object.destroy", #"{"id":\#(id)}"#)
            try client.expect(ENOENT, "unknown_ioas", "ioas.unmap", #"{"ioas":\#(id),"iova":0,"length":4096}"#)
        }
    }

    @Test func saysWhatIsWrongWithParameters() throws {
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1}"#, naming: "length")
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1,"length":1,"size":2}"#, naming: "size")
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1,"length":1.0}"#, naming: "length")
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1,"length":-1}"#, naming: "length")
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1,"length":"0xg"}"#, naming: "length")
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1,"length":18446744073709551616}"#, naming: "length")
        try client.expectMistake("ioas.map", #"{"ioas":true,"memory":1,"length":1}"#, naming: "ioas")
        try client.expectMistake("ioas.map", #"{"ioas":1,"memory":1,"length":1,"access":["exec"]}"#, naming: "access")
        // Parameters are checked before descriptors and state.
        try client.expectMistake("memory.import", #"{"nam":"x"}"#, naming: "nam")
        try client.expect(ENOENT, "unknown_ioas", "ioas.map", #"{"ioas":9,"memory":9,"length":4096,"iova":null}"#)
    }
}
