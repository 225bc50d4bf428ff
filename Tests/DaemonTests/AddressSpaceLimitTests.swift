import Foundation
import JSONRPC
import TestSupport
import Testing

/// The daemon where it may map little: it reserves less for tables, and works.
struct AddressSpaceLimitTests {
    private static let gibibyte: UInt64 = 1 << 30

    enum Bound: String, CaseIterable {
        /// `ulimit -v 4194304`
        case addressSpace = "--as=4294967296"
        /// What may be written counts, as with vm.overcommit_memory=2; what is only reserved does not.
        case writable = "--data=536870912"
    }

    @Test(arguments: Bound.allCases)
    func aBoundOfTheSystemShrinksWhatIsReserved(bound: Bound) throws {
        let daemon = try RunningDaemon(launcher: ["/usr/bin/prlimit", bound.rawValue])
        try work(daemon)
        if bound == .addressSpace { #expect(try mapped(by: daemon) < 4 * Self.gibibyte) }
    }

    @Test func theKeyBoundsIt() throws {
        let daemon = try RunningDaemon(configuration: "[backend]\ntable_space = \"16 MiB\"\n")
        try work(daemon)
        #expect(try mapped(by: daemon) < 4 * Self.gibibyte)
    }

    @Test func whatDoesNotFitIsRefusedAndNothingElseIsLost() throws {
        let daemon = try RunningDaemon(configuration: "[backend]\ntable_space = \"16 MiB\"\n")
        let client = try daemon.connect()
        try client.call("memory.create", #"{"size":4096}"#)
        try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":1,"pt":\#(ioas)}"#)
        // A table of 4 KiB for each, above the MSI window: 16 MiB hold fewer than 4096.
        var mapped = 0
        while mapped < 4096 {
            let iova = String(UInt64(mapped + 128) << 21, radix: 16)
            do {
                try client.call(
                    "ioas.map", #"{"ioas":\#(ioas),"memory":1,"length":4096,"iova":"0x\#(iova)","access":["read"]}"#)
            } catch let error as RPCError {
                #expect(error.code == -Int(ENOMEM) && error.reason == "no_table_memory")
                #expect(error.hint?.contains("backend.table_space") == true, "\(error.hint ?? "-")")
                break
            }
            mapped += 1
        }
        #expect(mapped > 1000)
        #expect(mapped < 4096)
        try client.call("ioas.unmap", #"{"ioas":\#(ioas),"iova":0,"length":"0xffffffffffffffff"}"#)
        try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":1,"length":4096,"iova":"0x200000"}"#)
        #expect(
            try client.call("dma.read", #"{"device":1,"iova":"0x200000","length":4}"#)["data"]?.stringValue
                == "\0\0\0\0".base64)
    }

    /// A device moves data through its mapping, nothing else.
    private func work(_ daemon: RunningDaemon) throws {
        let client = try daemon.connect()
        let memory = try SharedMemory(size: 1 << 20)
        let object = try client.importMemory(memory)
        try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        let ioas = try client.id("ioas.alloc", "{}", "ioas")
        try client.call("device.attach", #"{"device":1,"pt":\#(ioas)}"#)
        try client.call("ioas.map", #"{"ioas":\#(ioas),"memory":\#(object),"length":"0x100000","iova":"0x100000"}"#)
        try client.call("dma.write", #"{"device":1,"iova":"0x1fff00","data":"\#("by device".base64)"}"#)
        #expect(memory.text(0xfff00, 9) == "by device")
        try client.expect(EFAULT, "f_translation", "dma.read", #"{"device":1,"iova":"0x200000","length":4}"#)
    }

    /// Bytes of the daemon's address space.
    private func mapped(by daemon: RunningDaemon) throws -> UInt64 {
        let text = try String(contentsOfFile: "/proc/\(daemon.process.pid)/statm", encoding: .utf8)
        return try #require(text.split(separator: " ").first.flatMap { UInt64($0) })
            * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
}
