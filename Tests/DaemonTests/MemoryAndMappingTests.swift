import Foundation
import JSONRPC
import TestSupport
import Testing

/// Memory of clients, shared by descriptor and mapped.
struct MemoryAndMappingTests {
    private let daemon: RunningDaemon
    private let client: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        client = try daemon.connect()
    }

    @Test func importsReadsWritesAndExportsAMemfd() throws {
        let memory = try SharedMemory(size: 1 << 16)
        let reply = try client.call("memory.import", #"{"name":"guest"}"#, descriptors: [memory.descriptor])
        #expect(reply["memory"]?.intValue == 1)
        #expect(reply["size"]?.unsignedValue == 1 << 16)
        let written = try client.call("memory.write", #"{"memory":1,"offset":4096,"data":"\#("hello".base64)"}"#)
        #expect(written["written"]?.intValue == 5)
        #expect(memory.text(4096, 5) == "hello")
        let read = try client.call("memory.read", #"{"memory":1,"offset":"0x1001","length":4}"#)
        #expect(read["data"]?.stringValue == "ello".base64)
        let exported = try client.call("memory.export", #"{"memory":1}"#)
        #expect(exported["fds"]?.intValue == 1)
        let descriptors = client.takeDescriptors()
        #expect(descriptors.count == 1)
        var bytes = [UInt8](repeating: 0, count: 5)
        #expect(pread(descriptors[0].number, &bytes, 5, 4096) == 5)
        #expect(String(decoding: bytes, as: UTF8.self) == "hello")
        try client.call("memory.close", #"{"memory":1}"#)
        try client.expect(ENOENT, "unknown_memory", "memory.read", #"{"memory":1,"length":1}"#)
    }

    @Test func mapsUnmapsAndListsMappings() throws {
        _ = try client.call("memory.create", #"{"size":1048576}"#)
        _ = try client.call("ioas.alloc")
        let fixed = try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":"0x100000"}"#)
        #expect(fixed["iova"]?.stringValue == "0x100000")
        let chosen = try client.call(
            "ioas.map", #"{"ioas":1,"memory":1,"offset":8192,"length":8192,"access":["read"]}"#)
        let iova = try #require(chosen["iova"]?.stringValue)
        try client.expect(
            EEXIST, "already_mapped", "ioas.map", #"{"ioas":1,"memory":1,"length":8192,"iova":"0xff000"}"#)
        let mappings = try #require(try client.call("ioas.mappings", #"{"ioas":1}"#)["mappings"]?.arrayValue)
        #expect(mappings.count == 2)
        let read = try #require(mappings.first { $0["access"] == .array([.string("read")]) })
        #expect(read["iova"]?.stringValue == iova)
        #expect(read["offset"]?.stringValue == "0x2000")
        #expect(read["length"]?.stringValue == "0x2000")
        #expect(read["memory"]?.intValue == 1)
        try client.expect(EBUSY, "memory_mapped", "memory.close", #"{"memory":1}"#)
        try client.expect(ENOENT, "would_split_mapping", "ioas.unmap", #"{"ioas":1,"iova":"\#(iova)","length":4096}"#)
        let all = try client.call("ioas.unmap", #"{"ioas":1,"iova":0,"length":"0xffffffffffffffff"}"#)
        #expect(all["unmapped"]?.stringValue == "0x3000")
        try client.call("memory.close", #"{"memory":1}"#)
    }
}
