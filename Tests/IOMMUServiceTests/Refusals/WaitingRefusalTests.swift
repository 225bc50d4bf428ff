import Glibc
import IOMMU
import TestSupport
import Testing

@testable import IOMMUService
@testable import JSONRPC

/// How calls end that wait: by what others do, by their time, by the end of the daemon.
@Suite struct WaitingRefusalTests {
    private let bench: ServiceBench
    /// Whose call waits.
    private let client: PlayedClient
    /// Of the same session.
    private let other: PlayedClient

    init() throws {
        bench = try ServiceBench()
        client = try bench.connect()
        other = try bench.connect()
        for one in [client, other] { try one.call("session.attach", #"{"name":"a"}"#) }
    }

    /// What a call that waits is refused with at last.
    private func reason() throws -> String? { try client.receive()["error"]?["data"]?["reason"]?.stringValue }

    /// As the server does it when the time of a daemon that stops is up.
    private func stopDaemon() { client.connection.giveUp(Daemon.stoppingRefusal) }

    // MARK: Memory of processes

    /// Where this process has memory for devices.
    private static let buffer = UInt(bitPattern: UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096))

    /// An accelerator on the memory of this process, which does not answer from here on.
    private func share() throws {
        try bench.run(
            """
            device.bind {"name":"uacce0"}
            mm.open {"pid":\(getpid())}
            sva.bind {"device":1,"mm":1}
            """, on: client)
    }

    private func openQueue() throws {
        try bench.run(
            """
            queue.open {"device":1,"mm":1}
            queue.start {"queue":1}
            """, on: client)
    }

    private static let accesses = [
        ("dma.read", #"{"device":1,"pasid":1,"iova":\#(buffer),"length":8}"#),
        ("dma.write", #"{"device":1,"pasid":1,"iova":\#(buffer),"data":"AAAA"}"#),
    ]
    private static let submission = ("queue.submit", #"{"queue":1,"op":"fill","dst":\#(buffer),"length":8}"#)

    @Test func accessesEndWithTheBond() throws {
        try share()
        for (method, params) in Self.accesses {
            bench.executor.isHeld = true
            client.send(method, params)
            // The page is there; what it holds is on its way.
            #expect(bench.executor.releaseOne())
            bench.settle()
            try #require(!client.hasLine)
            try other.call("sva.unbind", #"{"bond":1}"#)
            #expect(try reason() == "sva_unbound", "\(method)")
            bench.executor.isHeld = false
            try client.call("sva.bind", #"{"device":1,"mm":1}"#)
        }
    }

    @Test func accessesEndWithTheirTime() throws {
        try share()
        try openQueue()
        bench.executor.isHeld = true
        for (method, params) in Self.accesses + [Self.submission] {
            client.send(method, params.dropLast() + #","timeout_ms":1}"#)
            #expect(try reason() == "access_timed_out", "\(method)")
        }
    }

    @Test(arguments: ["dma.write", "queue.submit"]) func accessesEndWithTheDaemon(method: String) throws {
        try share()
        try openQueue()
        bench.executor.isHeld = true
        let call = (Self.accesses + [Self.submission]).first { $0.0 == method }
        client.send(method, try #require(call).1)
        try #require(!client.hasLine)
        stopDaemon()
        #expect(try reason() == "daemon_stopping")
    }

    @Test func submissionsEndWithTheirQueueAndSession() throws {
        try share()
        try openQueue()
        for (method, params, expected) in [
            ("queue.stop", #"{"queue":1}"#, "queue_stopped"), ("session.close", "{}", "session_closed"),
        ] {
            bench.executor.isHeld = true
            client.send(Self.submission.0, Self.submission.1)
            try #require(!client.hasLine)
            try other.call(method, params)
            #expect(try reason() == expected)
            bench.executor.isHeld = false
            if expected == "queue_stopped" { try client.call("queue.start", #"{"queue":1}"#) }
        }
    }

    @Test func lookingIntoAProcessEndsWithTheSession() throws {
        bench.executor.isHeld = true
        client.send("mm.open", #"{"pid":\#(getpid())}"#)
        try #require(!client.hasLine)
        try other.call("session.close")
        #expect(try reason() == "session_closed")
    }

    @Test func lookingIntoAProcessEndsWithTheDaemon() throws {
        bench.executor.isHeld = true
        client.send("mm.open", #"{"pid":\#(getpid())}"#)
        try #require(!client.hasLine)
        stopDaemon()
        #expect(try reason() == "daemon_stopping")
    }

    // MARK: Page faults

    private func attach(_ device: String) throws {
        try bench.run(
            """
            device.bind {"name":"\(device)"}
            ioas.alloc {}
            fault.alloc {}
            hwpt.alloc {"device":1,"pt":2,"fault":3}
            device.attach {"device":1,"pt":4}
            """, on: client)
    }

    private static let transfers = [
        ("dma.read", #"{"device":1,"iova":0,"length":8}"#), ("dma.write", #"{"device":1,"iova":0,"data":"AAAA"}"#),
    ]

    /// Answers what waits in the fault queue. - Returns: how many.
    private func answer(_ code: String) throws -> Int {
        let faults = try other.call("fault.read", #"{"fault":3}"#)["faults"]?.arrayValue ?? []
        for cookie in faults.compactMap({ $0["cookie"]?.intValue }) {
            try other.call("fault.respond", #"{"fault":3,"responses":[{"cookie":\#(cookie),"code":"\#(code)"}]}"#)
        }
        return faults.count
    }

    @Test func aRefusedPageRequestEndsTheAccess() throws {
        try attach("0000:01:00.0")
        for (method, params) in Self.transfers {
            client.send(method, params)
            #expect(try answer("invalid") == 1)
            #expect(try reason() == "page_request_failed", "\(method)")
        }
    }

    @Test func faultsThatAreAnsweredAndNotResolvedEndTheAccess() throws {
        try attach("0000:03:00.0")
        for (method, params) in Self.transfers {
            client.send(method, params)
            var answered = 0
            while !client.hasLine, answered < 1000 { answered += try answer("success") }
            #expect(answered == 64, "as often as an access of one page is tried")
            #expect(try reason() == "fault_not_resolved", "\(method)")
        }
    }

    // MARK: Queues of events and commands

    @Test func aReadOfVirtualEventsEndsWithTheDaemon() throws {
        try bench.run(
            """
            device.bind {"name":"0000:03:00.0"}
            ioas.alloc {}
            hwpt.alloc {"device":1,"pt":2,"flags":["nest_parent"]}
            viommu.alloc {"device":1,"hwpt":3,"type":"arm_smmuv3"}
            veventq.alloc {"viommu":4,"type":"arm_smmuv3","depth":8}
            """, on: client)
        client.send("veventq.read", #"{"veventq":5,"timeout_ms":60000}"#)
        try #require(!client.hasLine)
        stopDaemon()
        #expect(try reason() == "daemon_stopping")
    }

    /// A bare SMMU has more commands to consume than one turn of the loop lets it.
    private func sendManyCommands() throws {
        let memory = try SharedMemory(size: 1 << 17)
        for index in 0..<4096 { memory.setWord(16 * index, 0x46) }
        _ = try client.importMemory(memory)
        try bench.run(
            """
            vsmmu.create {}
            vsmmu.memory {"vsmmu":1,"memory":1,"length":131072,"gpa":"0x80000000"}
            vsmmu.mmio_write {"vsmmu":1,"offset":"0x90","size":8,"value":"0x8000000d"}
            vsmmu.mmio_write {"vsmmu":1,"offset":"0x20","size":4,"value":8}
            """, on: client)
        client.send("vsmmu.mmio_write", #"{"vsmmu":1,"offset":"0x98","size":4,"value":4096}"#)
        try #require(!client.hasLine)
    }

    @Test func aRegisterWriteEndsWithTheDaemon() throws {
        try sendManyCommands()
        stopDaemon()
        #expect(try reason() == "daemon_stopping")
    }

    @Test func aRegisterWriteEndsWithTheSession() throws {
        try sendManyCommands()
        try other.call("session.close")
        #expect(try reason() == "session_closed")
    }

    /// More transactions than one turn of the loop lets a bare SMMU translate.
    private func sendManyTransactions() throws {
        try client.call("vsmmu.create")
        let all = Array(repeating: #"{"stream_id":1,"iova":0}"#, count: 10_000).joined(separator: ",")
        client.send("vsmmu.translate_many", #"{"vsmmu":1,"requests":[\#(all)]}"#)
        try #require(!client.hasLine)
    }

    @Test func manyTransactionsTakeTheirTurns() throws {
        try sendManyTransactions()
        #expect(try client.receive()["result"]?["results"]?.arrayValue?.count == 10_000)
    }

    @Test func manyTransactionsEndWithTheDaemon() throws {
        try sendManyTransactions()
        stopDaemon()
        #expect(try reason() == "daemon_stopping")
    }

    @Test func manyTransactionsEndWithTheSession() throws {
        try sendManyTransactions()
        try other.call("session.close")
        #expect(try reason() == "session_closed")
    }
}
