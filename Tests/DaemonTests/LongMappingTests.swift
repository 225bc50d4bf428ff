import Glibc
import JSONRPC
import TestSupport
import Testing

/// Long work of one session, while others are answered.
struct LongMappingTests {
    private let daemon: RunningDaemon
    private let other: RPCClient

    init() throws {
        daemon = try RunningDaemon()
        other = try daemon.connect()
    }

    /// A session with a device on an IOAS, and a memory object of 4 GiB and a page.
    private func makeSession() throws -> RPCClient {
        let client = try daemon.connect()
        try client.call("ioas.alloc", "{}")
        try client.call("memory.create", #"{"size":"0x100001000"}"#)
        try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)
        try client.call("device.attach", #"{"device":2,"pt":1}"#)
        return client
    }

    /// 2²⁰ pages, at places that no block fits.
    private static let map =
        #"{"jsonrpc":"2.0","id":1,"method":"ioas.map","params":{"ioas":1,"memory":1,"offset":4096,"#
        + #""length":"0x100000000","iova":"0x100000000"}}"#

    private static let unmap =
        #"{"jsonrpc":"2.0","id":1,"method":"ioas.unmap","params":{"ioas":1,"iova":0,"length":"0x300000000"}}"#

    private func hasReply(_ client: RPCClient) -> Bool {
        var descriptor = pollfd(fd: client.socket, events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, 0) > 0
    }

    /// - Returns: how many calls of the other session were answered before the reply came.
    private func callsAnswered(during line: String, of client: RPCClient) throws -> Int {
        try client.send(line: line)
        var calls = 0
        while !hasReply(client) {
            try other.call("daemon.info", "{}")
            calls += 1
        }
        return calls
    }

    @Test func othersAreAnsweredMeanwhile() throws {
        let busy = try makeSession()
        #expect(try callsAnswered(during: Self.map, of: busy) > 2)
        let mapped = String(decoding: try #require(try busy.receiveLine()), as: UTF8.self)
        #expect(mapped.contains(#""iova":"0x100000000""#))
        try busy.call("dma.write", #"{"device":2,"iova":"0x1fffff000","data":"\#("hello".base64)"}"#)
        let read = try busy.call("memory.read", #"{"memory":1,"offset":"0x100000000","length":5}"#)
        #expect(read["data"]?.stringValue == "hello".base64)
        #expect(try callsAnswered(during: Self.unmap, of: busy) > 1)
        let unmapped = String(decoding: try #require(try busy.receiveLine()), as: UTF8.self)
        #expect(unmapped.contains(#""unmapped":"0x100000000""#))
        try busy.call("memory.close", #"{"memory":1}"#)
    }

    /// The session ends with its connection, also in the middle of a map: then others can have its device.
    @Test func aConnectionMayEndMeanwhile() throws {
        var busy: RPCClient? = try makeSession()
        try busy?.send(line: Self.map)
        try other.call("daemon.info", "{}")
        busy = nil
        var isFree = false
        while !isFree {
            do {
                try other.call("device.bind", #"{"name":"0000:01:00.0"}"#)
                isFree = true
            } catch let error as RPCError {
                #expect(error.code == -Int(EBUSY))
            }
        }
    }
}
