import JSONRPC
import TestSupport
import Testing

@testable import IOMMUService

/// A service, a VMM with a bare SMMU, and its ring.
struct RingRig {
    let bench: ServiceBench
    let client: PlayedClient
    let smmu: BareSMMUProgram<PlayedClient>
    static let sync: (UInt64, UInt64) = (0x46, 0)
    /// CMD_TLBI_NSNH_ALL
    static let invalidate: (UInt64, UInt64) = (0x30, 0)

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
        smmu = try BareSMMUProgram(client)
    }

    /// Stream 1 stalls, and has the first GiB mapped at the fourth.
    func bringUp() throws {
        try smmu.bringUpStalling()
        try smmu.write(0x20, 0xd)
        smmu.memory.setWord(BareSMMUOffset.tables, 0xc000_0000 | 0xc41)
    }

    func open(_ entries: Int = 8, by other: PlayedClient? = nil) throws -> RingClient {
        let client = other ?? client
        let reply = try client.call("vsmmu.ring_open", #"{"vsmmu":1,"entries":\#(entries)}"#)
        #expect(reply["fds"]?.intValue == 3)
        let ring = try RingClient(client.takeDescriptors())
        #expect(reply["length"]?.intValue == ring.memory.count && reply["entries"]?.intValue == Int(ring.entries))
        return ring
    }

    /// Has submissions carried out, and takes all that there is to know.
    func run(_ ring: RingClient, _ submissions: RingClient.Submission...) throws -> [RingClient.Completion] {
        for submission in submissions { ring.add(submission) }
        ring.publish()
        return try take(ring)
    }

    func take(_ ring: RingClient) throws -> [RingClient.Completion] {
        try bench.handleReady()
        var found: [RingClient.Completion] = []
        while let next = ring.next() { found.append(next) }
        return found
    }

    /// Sends a request, and has the loop do what it can.
    func send(_ method: String, _ params: String) throws -> [JSONValue] {
        client.send(method, params)
        return try lines()
    }

    func lines() throws -> [JSONValue] {
        try bench.handleReady()
        var lines: [JSONValue] = []
        while client.hasLine { lines.append(try client.receive()) }
        return lines
    }

    func issue(_ commands: [(UInt64, UInt64)], behind consumed: Int = 0) throws -> [JSONValue] {
        let request = smmu.queue(commands, behind: consumed)
        return try send(request.method, request.params)
    }
}
