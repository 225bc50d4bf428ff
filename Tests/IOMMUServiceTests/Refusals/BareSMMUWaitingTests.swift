import TestSupport
import Testing

@testable import IOMMUService
@testable import JSONRPC

/// How calls on a bare SMMU end that wait: behind another connection's write, or for their client to read.
@Suite struct BareSMMUWaitingTests {
    private typealias Program = BareSMMUProgram<PlayedClient>

    private let bench: ServiceBench
    /// Whose write goes on for some turns.
    private let client: PlayedClient
    /// Of the same session.
    private let other: PlayedClient
    private let smmu: Program

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
        other = try bench.connect()
        for one in [client, other] { try one.call("session.attach", #"{"name":"a"}"#) }
        smmu = try Program(client)
    }

    private func reason(_ client: PlayedClient) throws -> String? {
        while true {
            let message = try client.receive()
            if message["method"] == nil { return message["error"]?["data"]?["reason"]?.stringValue }
        }
    }

    /// As the server does it when the time of a daemon that stops is up.
    private func stopDaemon(for client: PlayedClient) { client.connection.giveUp(Daemon.stoppingRefusal) }

    /// A write that waits for its client to read, and whoever writes behind it.
    private func block() throws {
        try smmu.bringUp()
        let request = smmu.queue([(0x30, 0), (0x46, 0)])
        client.isReading = false
        client.send(request.method, request.params)
    }

    private static let writes = [
        ("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x20","size":4,"value":0}"#), ("vsmmu.reset", #"{"vsmmu":1}"#),
        ("vsmmu.tlbi", #"{"vsmmu":1}"#), ("vsmmu.save", #"{"vsmmu":1,"memory":1}"#),
        ("vsmmu.load", #"{"vsmmu":1,"memory":1}"#),
    ]

    @Test(arguments: writes) func whoWritesBehindAnotherEndsWithTheDaemon(_ call: (String, String)) throws {
        try block()
        other.send(call.0, call.1)
        #expect(!other.hasLine)
        stopDaemon(for: other)
        #expect(try reason(other) == "daemon_stopping")
    }

    @Test(arguments: writes) func whoWritesBehindAnotherEndsWithTheSession(_ call: (String, String)) throws {
        try block()
        other.send(call.0, call.1)
        let third = try bench.connect()
        try third.call("session.attach", #"{"name":"a"}"#)
        try third.call("session.close")
        client.isReading = true
        #expect(try reason(other) == "session_closed")
    }

    /// A stall of which its client has not read yet; a page request whose interrupt is a message.
    @Test func whoHasToReadFirstEndsWithTheDaemon() throws {
        try smmu.bringUpStalling()
        client.isReading = false
        client.send("vsmmu.translate", #"{"vsmmu":1,"stream_id":1,"iova":0}"#)
        client.isReading = true
        stopDaemon(for: client)
        #expect(try reason(client) == "daemon_stopping")
    }

    @Test func aPageRequestEndsWithTheDaemon() throws {
        for (offset, value, size) in [(0xd0, 0x808_0040, 8), (0xc0, Program.gpa + 0x50000 | 3, 8), (0x50, 2, 4)]
            as [(UInt64, UInt64, Int)]
        {
            try smmu.write(offset, value, size: size)
        }
        try smmu.write(0x20, 3)
        client.isReading = false
        client.send("vsmmu.page_request", #"{"vsmmu":1,"stream_id":1,"iova":0,"group":1}"#)
        client.isReading = true
        stopDaemon(for: client)
        #expect(try reason(client) == "daemon_stopping")
    }

    /// A counter of cycles that has overflowed when it is read; its interrupt is a message.
    @Test func aReadOfCountersEndsWithTheDaemon() throws {
        let registers: [(UInt64, UInt64, Int)] = [
            (0xe58, 0x808_0040, 8), (0, .max, 8), (0xc40, 1, 8), (0xc00, 1, 8), (0xe50, 1, 4), (0xe04, 1, 4),
        ]
        for (offset, value, size) in registers {
            try client.call(
                "vsmmu.mmio_write",
                #"{"vsmmu":1,"page":"pmcg0","offset":\#(offset),"size":\#(size),"value":\#(value)}"#)
        }
        client.isReading = false
        client.send("vsmmu.mmio_read", #"{"vsmmu":1,"page":"pmcg0","offset":"0xcc0","size":8}"#)
        client.isReading = true
        stopDaemon(for: client)
        #expect(try reason(client) == "daemon_stopping")
    }
}
